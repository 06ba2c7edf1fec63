//! What an upgrade did.

use std::fmt;
use std::time::{Duration, Instant};

use maplock_layout::{Disposition, Untold};
use serde::Serialize;

use crate::generation::names::pin_name;
use crate::inspect::WayBack;
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
    /// True where this is the end of a roll-back that an earlier call had begun and did not end. Nothing else was done, and what
    /// that call had done before is not told.
    pub resumed: bool,
    /// True where a roll-back found an upgrade that had switched links and did not end, and took it back: that leads to the generation that was
    /// live before. It went no further back.
    pub taken_back: bool,
    /// What the programs of an upgrade wrote that had not ended and was taken back: before this one, or by this roll-back.
    pub left_behind: Vec<LeftBehind>,
    /// What a roll-back has led to, held against what it left. `None` of an upgrade, and where a roll-back did not begin.
    pub way_back: Option<WayBack>,
    /// From the first link's switch to the commit. In seconds where it is serialised, as all times here.
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
    /// Entries that are gone; `None` where the map's type can't be counted.
    pub lost: Option<u64>,
    /// Values with a count of the old programs that was not added, since the sum would have gone below nothing: entries, but in a
    /// per-CPU map that programs settled the values of each CPU. See
    /// [`Settled::not_carried`](crate::transfer::Settled::not_carried).
    pub not_carried: u64,
    /// True of a map that is given up, and stays pinned with its entries all the same: nothing says that it is the daemon's.
    pub pin_stays: bool,
    /// What of it is known by its size alone, so that nothing tells whether the new programs read it as the old ones wrote it. A
    /// roll-back does not look.
    #[serde(serialize_with = "untold")]
    pub types_unknown: Option<Untold>,
    /// Bytes that were copied.
    pub bytes: u64,
    /// How they were copied.
    pub method: Option<&'static str>,
    /// False where a write of the new programs may have been lost at the very moment at which what the old ones wrote was brought over:
    /// by system calls, not in the kernel; or of bytes that no atomic instruction takes, or of a CPU on which none can run. And where
    /// counts were not carried over.
    pub exact: bool,
    /// Time that it took.
    #[serde(serialize_with = "seconds")]
    pub time: Duration,
    /// A map is converted as a whole or not at all: one that has no entries yet too.
    #[serde(skip)]
    pub(crate) is_converted: bool,
}

/// What became of one link.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LinkReport {
    /// Name of the link.
    pub link: String,
    /// `updated`, `attached`, `replaced`, `reattached`, `detached`; `gone` where a roll-back does not find what
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
    /// Entries in all, where that is known.
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
            not_carried: 0,
            pin_stays: false,
            types_unknown: None,
            bytes: 0,
            method: None,
            exact: true,
            time: Duration::ZERO,
            is_converted: false,
        }
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
        *entries = entries.saturating_add(settled.inserted).saturating_sub(settled.deleted);
        self.carried(settled);
        self.time += time;
    }

    /// With what became of counts as it was settled.
    pub(crate) fn carried(&mut self, settled: &Settled) {
        self.exact &= settled.exact;
        self.not_carried += settled.not_carried;
    }
}

fn disposition<S: serde::Serializer>(value: &Disposition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}

fn untold<S: serde::Serializer>(value: &Option<Untold>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Untold::name).serialize(serializer)
}

fn seconds<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64())
}

/// A family of metrics, as its samples are collected.
struct Family {
    text: String,
    name: &'static str,
}

impl Family {
    fn new(name: &'static str, help: &str) -> Self {
        Self { text: format!("# HELP {name} {help}\n# TYPE {name} gauge\n"), name }
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.text.push_str(&format!("{}{labels} {value}\n", self.name));
    }
}

/// A label's value (Prometheus, exposition formats: text-based format).
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
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
        self.total = start.elapsed();
        self
    }

    /// How many of the maps that went on are known by their sizes alone: a phrase; `None` where types tell of each.
    #[must_use]
    pub fn untold(&self) -> Option<String> {
        let gone = |map: &&MapReport| matches!(map.disposition, Disposition::Create | Disposition::Drop);
        Untold::counted(self.maps.iter().filter(|map| !gone(map)).map(|map| map.types_unknown))
    }

    /// The report in Prometheus' text form: gauges, since they tell of one upgrade, the last. A file of it suits the node
    /// exporter's textfile collector.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut entries = Family::new(
            "maplock_upgrade_entries",
            "Entries of each map in the last upgrade, by what became of them; not_carried may count the value of each CPU.",
        );
        let mut bytes = Family::new("maplock_upgrade_copied_bytes", "Bytes copied for each map in the last upgrade.");
        let mut time = Family::new("maplock_upgrade_map_seconds", "Time taken by each map in the last upgrade.");
        let mut exact = Family::new(
            "maplock_upgrade_exact",
            "1 where no write to the map can have been lost in the last upgrade, else 0.",
        );
        for map in &self.maps {
            let labels = [("map", map.map.as_str()), ("disposition", map.disposition.name())];
            let [name, disposition] = labels;
            entries.sample(&[name, disposition, ("what", "kept")], map.kept);
            entries.sample(&[name, disposition, ("what", "converted")], map.converted);
            // What can't be counted has no sample, rather than a false 0.
            if let Some(lost) = map.lost {
                entries.sample(&[name, disposition, ("what", "lost")], lost);
            }
            entries.sample(&[name, disposition, ("what", "not_carried")], map.not_carried);
            bytes.sample(&labels, map.bytes);
            time.sample(&labels, map.time.as_secs_f64());
            exact.sample(&labels, u8::from(map.exact));
        }
        let mut unknown = Family::new(
            "maplock_upgrade_types_unknown",
            "1 for each map of which nothing tells all types, in the last upgrade.",
        );
        for map in self.maps.iter().filter(|map| map.types_unknown.is_some()) {
            unknown.sample(&[("map", map.map.as_str()), ("disposition", map.disposition.name())], 1);
        }
        let mut links = Family::new("maplock_upgrade_link_info", "What happened to each link in the last upgrade.");
        for link in &self.links {
            links.sample(&[("link", link.link.as_str()), ("what", link.what)], 1);
        }
        let mut left_behind = Family::new(
            "maplock_upgrade_left_behind_info",
            "What the programs of an upgrade before wrote that was taken back, and is lost: entries at the least.",
        );
        for LeftBehind { map, entries } in &self.left_behind {
            let entries = entries.map_or("unknown".to_owned(), |entries| entries.to_string());
            left_behind.sample(&[("map", map), ("entries", &entries)], 1);
        }
        let mut window =
            Family::new("maplock_upgrade_window_seconds", "Time from the first link's switch to the commit.");
        window.sample(&[], self.window.as_secs_f64());
        let mut total = Family::new("maplock_upgrade_seconds", "Time from the plan to the commit.");
        total.sample(&[], self.total.as_secs_f64());
        [entries, bytes, time, exact, unknown, links, left_behind, window, total].map(|family| family.text).concat()
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
            if map.not_carried > 0 {
                notes.push(format!(
                    "counts in {} {} not carried over, which would have gone below nothing",
                    map.not_carried,
                    if map.not_carried == 1 { "value" } else { "values" }
                ));
            }
            if !map.exact && (map.not_carried == 0 || map.method != Some("kernel")) {
                notes.push("not settled exactly: a write at that very moment may be lost".to_owned());
            }
            let entries = (map.kept + map.converted).to_string();
            table.row([map.map.clone(), entries, map.disposition.to_string(), notes.join(", ")]);
        }
        write!(f, "{table}")?;
        if let Some(untold) = self.untold() {
            writeln!(f, "{untold}")?;
        }
        let links: Vec<_> = self.links.iter().map(|link| format!("{} {}", link.link, link.what)).collect();
        if !links.is_empty() {
            writeln!(f, "links: {}", links.join(", "))?;
        }
        self.left_behind.iter().try_for_each(|lost| writeln!(f, "of an upgrade that was taken back: {lost}"))?;
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
mod tests {
    use super::*;

    fn report() -> Report {
        let map = |name: &str, disposition, kept, lost| MapReport {
            map: name.to_owned(),
            disposition,
            kept,
            converted: 0,
            lost,
            not_carried: 0,
            pin_stays: false,
            types_unknown: None,
            bytes: 192,
            method: (disposition == Disposition::Grow).then_some("kernel"),
            exact: name != "stats",
            time: Duration::from_millis(2),
            is_converted: false,
        };
        Report {
            maps: vec![
                map("backends", Disposition::Grow, 12, Some(0)),
                map("ring \"a\\b\"\n", Disposition::Swap, 0, None),
                map("stats", Disposition::Swap, 0, Some(812)),
            ],
            links: vec![LinkReport { link: "connect4".to_owned(), what: "updated" }],
            resumed: false,
            taken_back: false,
            left_behind: Vec::new(),
            way_back: None,
            window: Duration::from_millis(9),
            total: Duration::from_millis(1250),
        }
    }

    #[test]
    fn the_prometheus_text_has_every_count_and_escapes_labels() {
        let text = report().to_prometheus();
        let expected = r##"# HELP maplock_upgrade_entries Entries of each map in the last upgrade, by what became of them; not_carried may count the value of each CPU.
# TYPE maplock_upgrade_entries gauge
maplock_upgrade_entries{map="backends",disposition="grow",what="kept"} 12
maplock_upgrade_entries{map="backends",disposition="grow",what="converted"} 0
maplock_upgrade_entries{map="backends",disposition="grow",what="lost"} 0
maplock_upgrade_entries{map="backends",disposition="grow",what="not_carried"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="kept"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="converted"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="not_carried"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="kept"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="converted"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="lost"} 812
maplock_upgrade_entries{map="stats",disposition="swap",what="not_carried"} 0
# HELP maplock_upgrade_copied_bytes Bytes copied for each map in the last upgrade.
# TYPE maplock_upgrade_copied_bytes gauge
maplock_upgrade_copied_bytes{map="backends",disposition="grow"} 192
maplock_upgrade_copied_bytes{map="ring \"a\\b\"\n",disposition="swap"} 192
maplock_upgrade_copied_bytes{map="stats",disposition="swap"} 192
# HELP maplock_upgrade_map_seconds Time taken by each map in the last upgrade.
# TYPE maplock_upgrade_map_seconds gauge
maplock_upgrade_map_seconds{map="backends",disposition="grow"} 0.002
maplock_upgrade_map_seconds{map="ring \"a\\b\"\n",disposition="swap"} 0.002
maplock_upgrade_map_seconds{map="stats",disposition="swap"} 0.002
# HELP maplock_upgrade_exact 1 where no write to the map can have been lost in the last upgrade, else 0.
# TYPE maplock_upgrade_exact gauge
maplock_upgrade_exact{map="backends",disposition="grow"} 1
maplock_upgrade_exact{map="ring \"a\\b\"\n",disposition="swap"} 1
maplock_upgrade_exact{map="stats",disposition="swap"} 0
# HELP maplock_upgrade_types_unknown 1 for each map of which nothing tells all types, in the last upgrade.
# TYPE maplock_upgrade_types_unknown gauge
# HELP maplock_upgrade_link_info What happened to each link in the last upgrade.
# TYPE maplock_upgrade_link_info gauge
maplock_upgrade_link_info{link="connect4",what="updated"} 1
# HELP maplock_upgrade_left_behind_info What the programs of an upgrade before wrote that was taken back, and is lost: entries at the least.
# TYPE maplock_upgrade_left_behind_info gauge
# HELP maplock_upgrade_window_seconds Time from the first link's switch to the commit.
# TYPE maplock_upgrade_window_seconds gauge
maplock_upgrade_window_seconds 0.009
# HELP maplock_upgrade_seconds Time from the plan to the commit.
# TYPE maplock_upgrade_seconds gauge
maplock_upgrade_seconds 1.25
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_person_sees_what_was_kept_and_lost() {
        let mut report = report();
        report.maps.remove(1);
        let expected = "\
map       entries  what
backends       12  grow  192 bytes copied in the kernel in 2 ms
stats           0  swap  812 lost, not settled exactly: a write at that very moment may be lost
links: connect4 updated
done in 1.2 s, of which 9 ms from the first link to the commit";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn counts_that_were_not_carried_over_are_told_as_what_they_are() {
        let mut report = report();
        report.maps.truncate(1);
        report.links.clear();
        let settled = crate::transfer::Settled { not_carried: 3, exact: false, ..Default::default() };
        report.maps[0].settled(&settled, Duration::ZERO);
        let text = report.to_string();
        assert!(
            text.contains(", counts in 3 values not carried over, which would have gone below nothing\n"),
            "{text}"
        );
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!((&json["maps"][0]["not_carried"], &json["maps"][0]["exact"]), (&3.into(), &false.into()));
        assert!(report.to_prometheus().contains("disposition=\"grow\",what=\"not_carried\"} 3\n"));
        report.maps[0].method = Some("batch");
        let text = report.to_string();
        assert!(
            text.contains("below nothing, not settled exactly: a write at that very moment may be lost\n"),
            "{text}"
        );
    }

    #[test]
    fn json_tells_times_in_seconds_and_the_disposition_by_name() {
        let json = serde_json::to_value(report()).expect("plain data");
        assert_eq!(json["maps"][0]["disposition"], "grow");
        assert_eq!(json["maps"][0]["time"], 0.002);
        assert_eq!(json["maps"][1]["lost"], serde_json::Value::Null);
        assert_eq!(json["total"], 1.25);
    }
}
