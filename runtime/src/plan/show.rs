//! A plan for people, and for programs.

use std::fmt;
use std::time::Duration;

use maplock_layout::{Loss, Untold};
use serde_json::{Value, json};

use super::hazards;
use super::kept::KeptThen;
use super::table::Table;
use super::types::{Action, MapPlan, Plan, Since};
use super::unfinished::Unfinished;
use super::unpinned::Unpinned;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looked = self.looked_words();
        self.head().iter().chain(&self.table()).chain(&looked).try_for_each(|line| writeln!(f, "{line}"))?;
        f.write_str(&self.outcome())
    }
}

impl MapPlan {
    /// Its name: `old -> new` if it was renamed.
    #[must_use]
    pub fn name_text(&self) -> String {
        self.was.as_ref().map_or_else(|| self.map.clone(), |was| format!("{was} -> {}", self.map))
    }

    /// `12/64`: entries and capacity of the live map; `-` if there is none, `?` if the number is not known.
    #[must_use]
    pub fn entries_text(&self) -> String {
        match (self.entries(), self.action.live().map(|live| live.def.max_entries)) {
            (None, None) => "-".to_owned(),
            (None, Some(0)) => "?".to_owned(),
            (None, Some(max)) => format!("?/{max}"),
            (Some(entries), None | Some(0)) => entries.to_string(),
            (Some(entries), Some(max)) => format!("{entries}/{max}"),
        }
    }
}

impl Plan {
    /// What is to be read before all else: that an upgrade did not end; that nothing is pinned there, and what lies near.
    #[must_use]
    pub fn head(&self) -> Vec<String> {
        let unfinished = self.unfinished.iter().flat_map(|unfinished| unfinished.lines(&self.dir));
        unfinished.chain(self.unpinned.iter().flat_map(|unpinned| unpinned.lines(&self.dir))).collect()
    }

    /// The lines above [`Plan::outcome`]: a head, and one for each map.
    #[must_use]
    pub fn table(&self) -> Vec<String> {
        let mut table = Table::new(["map", "entries", "what", "why"]);
        for map in &self.maps {
            table.row([map.name_text(), map.entries_text(), map.disposition().to_string(), map.why.clone()]);
        }
        table.lines()
    }

    /// The last line: what comes of it all.
    #[must_use]
    pub fn outcome(&self) -> String {
        let unsettled = self.unsettled().and_then(Unfinished::outcome);
        let refused: Vec<_> = self.names(|map| matches!(map.action, Action::Refuse { .. }));
        if !refused.is_empty() {
            let refused = format!("the upgrade does not start: {} refused", refused.join(", "));
            return unsettled.into_iter().chain([refused]).chain(self.untold()).collect::<Vec<_>>().join(" · ");
        }
        let mut parts = Vec::new();
        let entries_of = |map: &MapPlan| match map.entries() {
            Some(1) => format!("1 entry of {}", map.map),
            Some(entries) => format!("{entries} entries of {}", map.map),
            None => format!("the entries of {}", map.map),
        };
        let losing = self.maps.iter().filter(|map| map.action.loses_entries());
        let (given_up, lost): (Vec<_>, Vec<_>) = losing.partition(|map| matches!(map.action, Action::GiveUp { .. }));
        let dropped = self.names(|map| map.action.carry().is_some_and(|carry| carry.may_drop_entries));
        for (what, maps) in [("lost", lost), ("given up", given_up)] {
            if !maps.is_empty() {
                let maps: Vec<_> = maps.into_iter().map(entries_of).collect();
                parts.push(format!("{what}: {}", maps.join(", ")));
            }
        }
        if !dropped.is_empty() {
            parts.push(format!("may drop entries: {}", dropped.join(", ")));
        }
        let losses = || self.maps.iter().filter_map(|map| Some((map, map.action.loss()?)));
        let unfit =
            |(map, loss): (&MapPlan, &Loss)| Some(format!("`{}` is refused if it has {}", map.map, loss.unfit(None)?));
        let of_entries: Vec<_> = losses().flat_map(|(map, loss)| loss.words(&map.map)).collect();
        let of_entries: Vec<_> = of_entries.into_iter().chain(losses().filter_map(unfit)).collect();
        parts.extend(self.maps.iter().filter_map(MapPlan::goes_back_words).flatten());
        let open = hazards::words(&self.maps);
        let of_entries = (!of_entries.is_empty()).then(|| of_entries.join(", "));
        let told: Vec<_> = of_entries.into_iter().chain(open).collect();
        match (parts.is_empty(), told.is_empty()) {
            (true, true) if self.unpinned.is_some() || unsettled.is_some() => {}
            (true, true) => parts.push("nothing is lost".to_owned()),
            (_, true) => {}
            // Code of the daemon may keep none.
            (true, false) if unsettled.is_none() && !losses().any(|(_, loss)| loss.by_hand) => {
                parts.push(format!("every entry is kept; {}", told.join("; ")));
            }
            _ => parts.push(told.join("; ")),
        }
        if let Some(unpinned) = &self.unpinned {
            parts.insert(0, unpinned.outcome().to_owned());
        }
        parts.splice(0..0, unsettled);
        parts.extend(self.untold());
        let snapshot: u64 = self.maps.iter().filter_map(|map| map.action.carry()).map(|carry| carry.snapshot).sum();
        if snapshot >= 1 << 20 {
            parts.push(format!("{} MiB for snapshots", snapshot.div_ceil(1 << 20)));
        }
        if self.leaves_kept {
            parts.push(
                if self.kept.len() > 1 { "the kept generations stay" } else { "the kept generation stays" }.to_owned(),
            );
        }
        parts.push(about(self.estimate()));
        parts.push("traffic keeps running".to_owned());
        parts.extend(self.commit.note());
        parts.join(" · ")
    }

    /// What becomes of the kept generations if so many are kept ([`Options::keep`](crate::Options::keep)), the one that is replaced included.
    #[must_use]
    pub fn kept_then(&self, keep: usize) -> KeptThen {
        KeptThen::of(&self.kept, keep, self.leaves_kept)
    }

    fn names(&self, wanted: impl Fn(&MapPlan) -> bool) -> Vec<String> {
        self.maps.iter().filter(|map| wanted(map)).map(|map| map.map.clone()).collect()
    }

    /// The plan as JSON. An object with `dir`, `commit` (`exchange`; `each-pin`; `exchange-or-each-pin` if nothing tells whether this kernel can exchange
    /// directories), `commit_why` (why it is no exchange, or may be none: a phrase, or null), `refused` (true if the upgrade does not start), `leaves_kept`, `estimate_ms`,
    /// `unfinished` (null; if an upgrade or a roll-back lies there that did not end, or runs: `roll_back`, `next`, which is `complete` or `discard`, `needs_code`,
    /// names of maps, `holds` and `leads_here`: [`Unfinished`](super::Unfinished)), `way_back` (what a roll-back leads to after it, or null: an object of `generation`, a number or null, `maps`, a list of `map`, `from`, `to`
    /// of those that have another layout then or are not in both, and `unknown`, names of maps of which nothing tells),
    /// `kept` (what is kept now, the newest first: objects of `generation`, a number or null, and `is_newer`, true if a roll-back left it),
    /// `unpinned` (null; if no map of the release is pinned there: `exists`, `names`, `has_kept` and `near`, a list of `dir`, `leads_to`,
    /// `place`, `maps` and `alike`), `looked` (null; if a map is left behind, where was looked for others who have it: `mount`, numbers of
    /// `directories`, `programs` and `maps`, and `left_out`, phrases), `types_unknown` (how many of the pinned maps are known by their sizes alone, in whole or in part),
    /// and `maps`: a list of objects, by name, with
    ///
    /// - `map`, `was` (the name of its pin so far, if it was renamed, or null), `disposition` (`create`, `reuse`, `grow`, `migrate`, `swap`, `refuse`, `drop`), `why`;
    /// - `from`, `to`: digests of what is pinned and of what will be, or null;
    /// - `id`, `pin`: of the map that the state comes from, or null; `from_kept`, `carried_back`, `loses_entries`,
    ///   `may_drop_entries`;
    /// - `gives_up`, `inexact`: members that a conversion gives up (`name[]`: the end of an array), or may not keep exactly; `by_hand`: true
    ///   if code of the daemon decides;
    /// - `types_unknown`: what of the pinned map is known by its size alone: null, `all`, `key`, `value`, or `inner`;
    /// - `pin_removed`: the number of the map whose pin somebody removed, or null; `other_pins`: other pins of the map that is left
    ///   behind, by name, and by path if they are in another directory;
    /// - `goes_back`: of a map whose entries go back to an older layout, what was found in them, or null: `entries` that were looked at, and how many
    ///   of them lose what tells their `keys` apart, or something of their `values`, or are `unfit`; `is_all`: true if none was left out;
    /// - `entries` (null if not known), `old_max_entries`, `max_entries`;
    /// - `exact`: false if it is not certain that no entry and no write is lost, and nothing counted twice: entries are given up, go back to an
    ///   older layout, or code or `--collide` decides; or something may go wrong as they are carried over: `doubts`, phrases, say why
    ///   entries that are deleted meanwhile may come back or keep a wrong count, or a write may be lost, and `overwritten` what old programs write until the switch
    ///   that new ones may write over (`adds` and `sets`, members, and `unknown`), or null;
    /// - `sums`: a list of `{"offset": bytes, "width": bytes}`; `snapshot_bytes`, `estimate_ms`;
    /// - `findings`: a list of `rule`, `level`, `path`, `old`, `new`, `accepted` and `message`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let maps: Vec<_> = self.maps.iter().map(MapPlan::to_json).collect();
        json!({
            "dir": self.dir,
            "commit": self.commit.name(),
            "commit_why": self.commit.why(),
            "refused": self.is_refused(),
            "leaves_kept": self.leaves_kept,
            "way_back": self.way_back,
            "kept": self.kept,
            "unfinished": self.unfinished.as_ref().map(Unfinished::to_json),
            "unpinned": self.unpinned.as_ref().map(Unpinned::to_json),
            "looked": self.looked,
            "types_unknown": self.maps.iter().filter(|map| map.untold().is_some()).count(),
            "estimate_ms": milliseconds(self.estimate()),
            "maps": maps,
        })
    }
}

impl MapPlan {
    fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            json!({
                "rule": finding.rule.id,
                "level": finding.level.name(),
                "path": finding.path(),
                "old": finding.old_text(),
                "new": finding.new_text(),
                "accepted": finding.accepted.map(|accepted| accepted.name()),
                "message": finding.message(),
            })
        });
        let action = &self.action;
        let (live, new, carry, loss) = (action.live(), action.new_map(), action.carry(), action.loss());
        // Of a map that is gone, the kept one is all that there is; and that is what was asked for.
        let from = match action {
            Action::TakeBack { since: Since::Nothing, new, .. } => Some(new.digest),
            _ => live.map(|live| live.digest),
        };
        let source = action.source();
        let sums = carry.iter().flat_map(|carry| &carry.sums);
        json!({
            "map": self.map,
            "was": self.was,
            "disposition": self.disposition().name(),
            "why": self.why,
            "from": from.map(|digest| digest.to_string()),
            "to": new.map(|new| new.digest.to_string()),
            "id": source.map(|(_, id)| id),
            "pin": source.map(|(pin, _)| pin),
            "from_kept": action.returns_to_kept(),
            "carried_back": matches!(action, Action::CarryBack { .. }),
            "loses_entries": action.loses_entries(),
            "may_drop_entries": carry.is_some_and(|carry| carry.may_drop_entries),
            "gives_up": loss.map(|loss| &loss.given_up).into_iter().flatten().collect::<Vec<_>>(),
            "inexact": loss.map(|loss| loss.inexact.keys()).into_iter().flatten().collect::<Vec<_>>(),
            "by_hand": loss.is_some_and(|loss| loss.by_hand),
            "pin_removed": self.removed,
            "other_pins": self.other_pins,
            "types_unknown": self.untold().map(Untold::name),
            "goes_back": self.action.goes_back(),
            "exact": self.is_exact(),
            "doubts": self.hazard.doubts.iter().map(|doubt| doubt.words()).collect::<Vec<_>>(),
            "overwritten": self.hazard.overwritten.as_ref().map(|of| {
                json!({ "adds": of.adds, "sets": of.sets, "unknown": of.is_unknown })
            }),
            "entries": self.entries(),
            "old_max_entries": live.map(|live| live.def.max_entries),
            "max_entries": new.map(|new| new.def.max_entries),
            "sums": sums.map(|sum| json!({ "offset": sum.offset, "width": sum.width })).collect::<Vec<_>>(),
            "snapshot_bytes": carry.map_or(0, |carry| carry.snapshot),
            "estimate_ms": milliseconds(self.estimate()),
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Thousandths of a millisecond are far below what an estimate knows.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A time in as many digits as an estimate deserves.
fn about(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0 => "under 1 ms".to_owned(),
        1..100 => format!("about {ms} ms"),
        100..1000 => format!("about {} ms", ms.div_ceil(10) * 10),
        _ => format!("about {:.1} s", time.as_secs_f64()),
    }
}
