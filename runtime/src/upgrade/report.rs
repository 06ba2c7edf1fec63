//! What an upgrade did.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use maplock_layout::{Disposition, Untold};
use serde::Serialize;

use crate::generation::names::pin_name;
use crate::inspect::WayBack;
use crate::plan::hazard::{Doubt, Hazard};
use crate::plan::table::Table;
use crate::transfer::{Copied, Method, Settled};
use crate::upgrade::taken_back::LeftBehind;

/// What an upgrade did.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// One for each map, by name.
    pub maps: Vec<MapReport>,
    /// What happened to each link.
    pub links: Vec<LinkReport>,
    /// True if this is the end of a roll-back that an earlier call had begun and did not end, or of an upgrade
    /// ([`Recovery`]). Nothing else was done, and what the earlier call had done is not told.
    ///
    /// [`Recovery`]: crate::Recovery
    pub resumed: bool,
    /// True if a roll-back or a recovery found an upgrade that had switched links and did not end, and took it back: that leads to the
    /// generation that was live before. It went no further back.
    pub taken_back: bool,
    /// True if a recovery found an upgrade or a roll-back that had ended before its first link was switched, and removed what was left of it.
    pub discarded: bool,
    /// What programs of an upgrade that did not end wrote, if it is lost or may be: of one before this upgrade, or of the
    /// one that this roll-back or recovery took back or completed.
    pub left_behind: Vec<LeftBehind>,
    /// What a roll-back led to, compared with what it left. `None` for an upgrade, and if a roll-back did not begin.
    pub way_back: Option<WayBack>,
    /// The number of the generation to which this led. `None` if it is not known, because an earlier call had begun this,
    /// or because nothing tells a number.
    pub generation: Option<u64>,
    /// When it ended. `None` for a report of nothing.
    #[serde(serialize_with = "since_1970")]
    pub ended_at: Option<SystemTime>,
    /// From the first link's switch to the commit. In seconds if it is serialised, as all times here.
    #[serde(serialize_with = "seconds")]
    pub window: Duration,
    /// From the plan to the commit.
    #[serde(serialize_with = "seconds")]
    pub total: Duration,
}

/// What became of one map.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MapReport {
    /// Name of the map.
    pub map: String,
    /// What happened to its state.
    #[serde(serialize_with = "disposition")]
    pub disposition: Disposition,
    /// Entries that are there as before.
    pub kept: u64,
    /// Entries that were converted, which are not in `kept`.
    pub converted: u64,
    /// Entries that are gone; `None` if the map's type can't be counted.
    pub lost: Option<u64>,
    /// Entries that went back to an older layout, without what has no place there; `None` if not all could be looked at.
    pub incomplete: Option<u64>,
    /// At most so many entries lack something that old programs wrote since the copy: new programs had written over it, or
    /// a sum would have gone below zero. In a per-CPU map that programs settled, the values of each CPU are counted.
    pub not_carried: u64,
    /// At most so many entries may be wrong because entries are deleted. Their counts may be those of an earlier entry
    /// under their key; or new programs may have deleted what old ones had made, and it is back. If new programs may
    /// delete, this counts all entries to which something was done after the switch, since each may be one that they made
    /// anew.
    pub uncertain: u64,
    /// True for a map that is given up, but stays pinned with its entries, because nothing says that it is the daemon's.
    pub pin_stays: bool,
    /// What of it is known only by its size, so that nothing tells whether the new programs read it as the old ones wrote
    /// it. A roll-back does not look.
    #[serde(serialize_with = "untold")]
    pub types_unknown: Option<Untold>,
    /// Bytes that were copied.
    pub bytes: u64,
    /// How they were copied.
    pub method: Option<&'static str>,
    /// True if it is certain that no entry and no write was lost, and nothing was counted twice: nothing is `lost`,
    /// `incomplete` or `not_carried`, and there are no `doubts`.
    pub exact: bool,
    /// Why it is not exact though nothing is counted as lost. They serialise as phrases.
    #[serde(serialize_with = "phrases")]
    pub doubts: BTreeSet<Doubt>,
    /// Time that it took.
    #[serde(serialize_with = "seconds")]
    pub time: Duration,
    /// A map is converted as a whole or not at all: one that has no entries yet too.
    #[serde(skip)]
    pub(crate) is_converted: bool,
    /// Of `not_carried`, those whose counts would have gone below zero.
    #[serde(skip)]
    pub(super) below_nothing: u64,
    /// Entries that maps which evict have room for without that.
    #[serde(skip)]
    pub(super) room: Option<u64>,
    #[serde(skip)]
    pub(super) loses_padding: bool,
}

/// What became of one link.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LinkReport {
    /// Name of the link.
    pub link: String,
    /// `updated`, `attached`, `replaced`, `reattached`, `detached`; `gone` if a roll-back does not find what
    /// it was attached to.
    pub what: &'static str,
}

/// What was done on the way.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) settled: Vec<(String, Settled, Duration)>,
    pub(crate) links: Vec<LinkReport>,
    /// From the first link's switch to the exchange.
    pub(crate) window: Duration,
    /// True from when the first map may be settled, so that not all counts are in the old maps any more.
    pub(super) is_settling: bool,
}

/// How far a long copy is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The map.
    pub map: &'a str,
    /// Entries that are copied.
    pub done: u64,
    /// Entries in all, if that is known.
    pub total: Option<u64>,
}

impl MapReport {
    pub(crate) fn new(map: &str, disposition: Disposition) -> Self {
        Self {
            map: map.to_owned(),
            disposition,
            kept: 0,
            converted: 0,
            lost: Some(0),
            incomplete: Some(0),
            not_carried: 0,
            uncertain: 0,
            pin_stays: false,
            types_unknown: None,
            bytes: 0,
            method: None,
            exact: true,
            doubts: BTreeSet::new(),
            time: Duration::ZERO,
            is_converted: false,
            below_nothing: 0,
            room: None,
            loses_padding: false,
        }
    }

    /// With what is known before of what may go wrong. What is overwritten is counted when it happens.
    pub(super) fn foreseen(&mut self, hazard: &Hazard) {
        // How it is settled is told when it is.
        self.doubts = hazard.doubts.iter().copied().filter(|doubt| !matches!(doubt, Doubt::Settling(_))).collect();
        (self.room, self.loses_padding) = (hazard.room, hazard.loses_padding);
    }

    /// With what a copy did.
    pub(super) fn copied(&mut self, copied: &Copied) {
        self.kept = copied.entries.saturating_sub(copied.lost);
        (self.bytes, self.lost) = (copied.bytes, Some(copied.lost));
        self.method = copied.method.map(Method::name);
    }

    /// With what a conversion did.
    pub(super) fn converted(&mut self, copied: &Copied) {
        self.copied(copied);
        (self.kept, self.converted, self.is_converted) = (0, self.kept, true);
    }

    /// With what was settled since the copy.
    fn settled(&mut self, settled: &Settled, time: Duration) {
        let entries = if self.is_converted { &mut self.converted } else { &mut self.kept };
        *entries = entries.saturating_add_signed(settled.grown_before);
        *entries = entries.saturating_add(settled.inserted).saturating_sub(settled.deleted);
        // Nobody deletes: what was dropped are entries that the way has no place for.
        if !self.new_may_delete() {
            self.lost = self.lost.map(|lost| lost.max(settled.dropped));
        }
        self.carried(settled);
        self.time += time;
    }

    /// With what became of counts as it was settled.
    pub(crate) fn carried(&mut self, settled: &Settled) {
        self.doubts.extend(settled.inexact.map(Doubt::Settling));
        self.not_carried += settled.not_carried + settled.kept_new;
        self.below_nothing += settled.not_carried;
        // Where new programs delete, each entry that something was done to may be one that they had made anew.
        let Settled { maybe_another, added, changed, inserted, deleted, .. } = *settled;
        let done = if self.new_may_delete() { added + changed + inserted + deleted } else { 0 };
        self.uncertain += maybe_another.max(done);
    }

    fn new_may_delete(&self) -> bool {
        let doubts = [Doubt::NewProgramsDelete, Doubt::NewProgramsUnknown, Doubt::UserMayDelete, Doubt::Evicts];
        doubts.iter().any(|doubt| self.doubts.contains(doubt))
    }

    /// At the end: what was foreseen and what was counted, held together.
    fn judge(&mut self) {
        if self.room.is_some_and(|room| self.kept + self.converted > room) {
            self.doubts.insert(Doubt::Evicts);
        }
        if self.loses_padding && self.uncertain > 0 {
            self.doubts.insert(Doubt::KeysMeet);
        } else if self.doubts.iter().all(|doubt| matches!(doubt, Doubt::Settling(_))) {
            // Where nobody deletes, an entry is the one that was copied.
            self.uncertain = 0;
        }
        let is_whole = self.lost == Some(0) && self.incomplete == Some(0);
        self.exact = self.doubts.is_empty() && self.not_carried == 0 && is_whole;
    }
}

fn disposition<S: serde::Serializer>(value: &Disposition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}

fn untold<S: serde::Serializer>(value: &Option<Untold>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Untold::name).serialize(serializer)
}

fn phrases<S: serde::Serializer>(value: &BTreeSet<Doubt>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(value.iter().map(|doubt| doubt.words()))
}

fn seconds<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64())
}

fn since_1970<S: serde::Serializer>(value: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    value.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs_f64()).serialize(serializer)
}

impl Report {
    /// With what the changeover did.
    pub(crate) fn ended(mut self, done: Done, start: Instant) -> Self {
        self.links.extend(done.links);
        self.window = done.window;
        for (name, settled, time) in done.settled {
            if let Some(map) = self.maps.iter_mut().find(|map| pin_name(&map.map) == name) {
                map.settled(&settled, time);
            }
        }
        self.maps.iter_mut().for_each(MapReport::judge);
        self.total = start.elapsed();
        self.ended_at = Some(SystemTime::now());
        self
    }

    /// Tells what became of each map to those who trace.
    pub(super) fn trace(&self) {
        for map in &self.maps {
            let doubts = map.doubts.iter().map(|doubt| doubt.words()).collect::<Vec<_>>().join(", ");
            tracing::info!(
                map = map.map,
                disposition = map.disposition.name(),
                kept = map.kept,
                converted = map.converted,
                lost = map.lost,
                incomplete = map.incomplete,
                not_carried = map.not_carried,
                uncertain = map.uncertain,
                exact = map.exact,
                doubts = (!doubts.is_empty()).then_some(doubts),
                "what became of a map"
            );
        }
    }

    /// How many of the maps that went on are known by their sizes alone: a phrase; `None` if types tell of each.
    #[must_use]
    pub fn untold(&self) -> Option<String> {
        let gone = |map: &&MapReport| matches!(map.disposition, Disposition::Create | Disposition::Drop);
        Untold::counted(self.maps.iter().filter(|map| !gone(map)).map(|map| map.types_unknown))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["map", "entries", "what", ""]);
        for map in &self.maps {
            let mut notes = Vec::new();
            if map.converted > 0 {
                notes.push(format!("{} converted", map.converted));
            }
            match map.lost {
                Some(0) => {}
                Some(lost) => notes.push(format!("{lost} lost")),
                None => notes.push("what was lost can't be counted".to_owned()),
            }
            match map.incomplete {
                Some(0) => {}
                Some(entries) => notes.push(format!("{entries} without what the older layout has no place for")),
                None => notes.push("how many lack what the older layout has no place for can't be counted".to_owned()),
            }
            if map.pin_stays {
                notes.push("its pin stays, as nothing says whose it is".to_owned());
            }
            notes.extend(map.types_unknown.map(|untold| untold.to_string()));
            if let Some(method) = map.method {
                let how = match method {
                    "kernel" => "in the kernel",
                    "batch" => "by batches",
                    other => other,
                };
                notes.push(format!("{} bytes copied {how} in {}", map.bytes, short(map.time)));
            }
            let overwritten = map.not_carried - map.below_nothing;
            if overwritten > 0 {
                notes.push(format!("not carried: up to {overwritten}, overwritten by new programs"));
            }
            if map.below_nothing > 0 {
                notes.push(format!("not carried: {}, whose counts would have gone below zero", map.below_nothing));
            }
            if map.uncertain > 0 {
                notes.push(format!("uncertain: up to {}, as entries are deleted", map.uncertain));
            }
            if !map.doubts.is_empty() {
                let doubts: Vec<_> = map.doubts.iter().map(|doubt| doubt.words()).collect();
                notes.push(format!("maybe not exact: {}", doubts.join(", ")));
            }
            let entries = (map.kept + map.converted).to_string();
            table.row([map.map.clone(), entries, map.disposition.to_string(), notes.join(", ")]);
        }
        if !self.maps.is_empty() {
            write!(f, "{table}")?;
        }
        if let Some(untold) = self.untold() {
            writeln!(f, "{untold}")?;
        }
        let links: Vec<_> = self.links.iter().map(|link| format!("{} {}", link.link, link.what)).collect();
        if !links.is_empty() {
            writeln!(f, "links: {}", links.join(", "))?;
        }
        self.left_behind.iter().try_for_each(|lost| writeln!(f, "of an upgrade that had not ended: {lost}"))?;
        write!(f, "done in {}, of which {} from the first link to the commit", short(self.total), short(self.window))
    }
}

fn short(time: Duration) -> String {
    match time.as_millis() {
        0 => "under 1 ms".to_owned(),
        ms @ 1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::transfer::Inexact;

    pub(in crate::upgrade) fn report() -> Report {
        let map = |name: &str, disposition, kept, lost| MapReport {
            kept,
            lost,
            bytes: 192,
            method: (disposition == Disposition::Grow).then_some("kernel"),
            exact: name != "stats",
            time: Duration::from_millis(2),
            ..MapReport::new(name, disposition)
        };
        let mut report = Report {
            maps: vec![
                map("backends", Disposition::Grow, 12, Some(0)),
                map("ring \"a\\b\"\n", Disposition::Swap, 0, None),
                map("stats", Disposition::Swap, 0, Some(812)),
            ],
            links: vec![LinkReport { link: "connect4".to_owned(), what: "updated" }],
            resumed: false,
            taken_back: false,
            discarded: false,
            left_behind: Vec::new(),
            way_back: None,
            generation: Some(3),
            ended_at: Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)),
            window: Duration::from_millis(9),
            total: Duration::from_millis(1250),
        };
        report.maps[2].doubts.insert(Doubt::Settling(Inexact::Kernel));
        report
    }

    #[test]
    fn a_person_sees_what_was_kept_and_lost() {
        let mut report = report();
        report.maps.remove(1);
        let expected = "\
map       entries  what
backends       12  grow  192 bytes copied in the kernel in 2 ms
stats           0  swap  812 lost, maybe not exact: a write at the very moment of settling may be lost: this kernel accepts no program that settles in one step
links: connect4 updated
done in 1.2 s, of which 9 ms from the first link to the commit";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn counts_that_were_not_carried_over_are_told_as_what_they_are() {
        let mut report = report();
        report.maps.truncate(1);
        report.links.clear();
        let below = Settled { not_carried: 3, method: Some(Method::Kernel), ..Settled::default() };
        let report = ended(report, below);
        let text = report.to_string();
        assert!(text.contains(" ms, not carried: 3, whose counts would have gone below zero\n"), "{text}");
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!((&json["maps"][0]["not_carried"], &json["maps"][0]["exact"]), (&3.into(), &false.into()));
        assert!(report.to_prometheus().contains("disposition=\"grow\",what=\"not_carried\"} 3\n"));
        let by_calls = Settled { inexact: Some(Inexact::NoWord), method: Some(Method::Batch), ..Settled::default() };
        let report = ended(report, Settled { kept_new: 2, ..by_calls });
        let text = report.to_string();
        let notes = "not carried: up to 2, overwritten by new programs, not carried: 3, whose counts would have gone below \
                     zero, maybe not exact: a write at the very moment of settling may be lost: no atomic instruction writes all \
                     bytes of such a value\n";
        assert!(text.contains(notes), "{text}");
        assert!(report.to_prometheus().contains("disposition=\"grow\",what=\"not_carried\"} 5\n"));
        assert_eq!(
            serde_json::to_value(&report).expect("plain data")["maps"][0]["doubts"],
            serde_json::json!([Doubt::Settling(Inexact::NoWord).words()])
        );
    }

    fn ended(report: Report, settled: Settled) -> Report {
        let done = Done { settled: vec![("backends".to_owned(), settled, Duration::ZERO)], ..Done::default() };
        report.ended(done, Instant::now())
    }

    #[test]
    fn a_map_is_exact_where_nothing_was_lost_and_nothing_is_doubted() {
        let of = |settled: Settled, hazard: &Hazard| {
            let mut report = report();
            report.maps[0].foreseen(hazard);
            let report = ended(report, settled);
            (report.maps[0].exact, report.maps[0].uncertain, report.maps[0].doubts.clone())
        };
        let fine = Settled { maybe_another: 2, method: Some(Method::Kernel), ..Settled::default() };
        // Where nobody deletes, a lower count is a gauge that fell.
        assert_eq!(of(fine, &Hazard::default()), (true, 0, BTreeSet::new()));
        // How it would be settled was tried before, and how it was is known by now.
        let tried = Hazard { doubts: [Doubt::Settling(Inexact::Failed)].into(), ..Hazard::default() };
        assert_eq!(of(fine, &tried), (true, 0, BTreeSet::new()));
        let by_steps = Settled { inexact: Some(Inexact::Cpus), ..fine };
        assert_eq!(of(by_steps, &tried), (false, 0, [Doubt::Settling(Inexact::Cpus)].into()));
        let deletes = Hazard { doubts: [Doubt::OldProgramsDelete].into(), ..Hazard::default() };
        assert_eq!(of(fine, &deletes), (false, 2, deletes.doubts.clone()));
        let new_deletes = Hazard { doubts: [Doubt::NewProgramsDelete].into(), ..Hazard::default() };
        let done = Settled { added: 3, changed: 1, inserted: 1, deleted: 1, ..fine };
        assert_eq!((of(done, &deletes).1, of(done, &new_deletes).1), (2, 6));
        let padded = Hazard { loses_padding: true, ..Hazard::default() };
        assert_eq!(of(fine, &padded), (false, 2, [Doubt::KeysMeet].into()));
        // 12 entries.
        let lru = |room| Hazard { room: Some(room), ..Hazard::default() };
        assert_eq!(of(fine, &lru(12)).2, BTreeSet::new());
        assert_eq!(of(fine, &lru(11)).2, [Doubt::Evicts].into());
        assert!(!of(Settled { kept_new: 1, ..fine }, &Hazard::default()).0);
    }

    #[test]
    fn json_tells_times_in_seconds_and_the_disposition_by_name() {
        let json = serde_json::to_value(report()).expect("plain data");
        assert_eq!(json["maps"][0]["disposition"], "grow");
        assert_eq!(json["maps"][0]["time"], 0.002);
        assert_eq!(json["maps"][1]["lost"], serde_json::Value::Null);
        assert_eq!((&json["total"], &json["ended_at"]), (&1.25.into(), &1_700_000_000.5.into()));
    }
}
