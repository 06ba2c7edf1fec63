//! What an upgrade did, as metrics.

use std::time::UNIX_EPOCH;

use crate::inspect::exposition::Family;
use crate::upgrade::report::Report;
use crate::upgrade::taken_back::LeftBehind;

impl Report {
    /// The report in Prometheus' text form: gauges, since they tell of one upgrade, the last. A file of it suits the node
    /// exporter's textfile collector.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut entries = Family::new(
            "maplock_upgrade_entries",
            "Entries of each map in the last upgrade, by what became of them; not_carried and uncertain are at most so many, and may count the value of each CPU.",
        );
        let mut bytes = Family::new("maplock_upgrade_copied_bytes", "Bytes copied for each map in the last upgrade.");
        let mut time = Family::new("maplock_upgrade_map_seconds", "Time taken by each map in the last upgrade.");
        let mut exact = Family::new(
            "maplock_upgrade_exact",
            "1 if it is certain that nothing of the map was lost or counted twice in the last upgrade, else 0.",
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
            if let Some(incomplete) = map.incomplete {
                entries.sample(&[name, disposition, ("what", "incomplete")], incomplete);
            }
            entries.sample(&[name, disposition, ("what", "not_carried")], map.not_carried);
            entries.sample(&[name, disposition, ("what", "uncertain")], map.uncertain);
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
            "1 for each map that lost what the programs of an upgrade wrote, which was taken back: entries at the least.",
        );
        let mut maybe_lost = Family::new(
            "maplock_upgrade_maybe_lost_info",
            "1 for each map that may have lost some of what programs wrote around the switch of an upgrade that had not ended.",
        );
        for LeftBehind { map, entries, maybe } in &self.left_behind {
            if *maybe {
                maybe_lost.sample(&[("map", map)], 1);
                continue;
            }
            let entries = entries.map_or("unknown".to_owned(), |entries| entries.to_string());
            left_behind.sample(&[("map", map), ("entries", &entries)], 1);
        }
        let mut window =
            Family::new("maplock_upgrade_window_seconds", "Time from the first link's switch to the commit.");
        window.sample(&[], self.window.as_secs_f64());
        let mut total = Family::new("maplock_upgrade_seconds", "Time from the plan to the commit.");
        total.sample(&[], self.total.as_secs_f64());
        let mut generation = Family::new(
            "maplock_upgrade_generation",
            "Number of the generation to which the last upgrade led; nothing where that is not known.",
        );
        if let Some(number) = self.generation {
            generation.sample(&[], number);
        }
        let mut ended =
            Family::new("maplock_upgrade_timestamp_seconds", "When the last upgrade ended, in seconds since 1970.");
        if let Some(since) = self.ended_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
            ended.sample(&[], since.as_secs_f64());
        }
        // Last, so that nothing of a text that has it is cut off.
        let mut kind = Family::new(
            "maplock_upgrade_kind_info",
            "What the last upgrade was: upgrade, rollback, taken_back, or resumed of what an earlier call had begun.",
        );
        kind.sample(&[("kind", self.kind())], 1);
        Family::texts([
            entries,
            bytes,
            time,
            exact,
            unknown,
            links,
            left_behind,
            maybe_lost,
            window,
            total,
            generation,
            ended,
            kind,
        ])
    }

    fn kind(&self) -> &'static str {
        match self {
            Self { taken_back: true, .. } => "taken_back",
            Self { resumed: true, .. } => "resumed",
            Self { way_back: Some(_), .. } => "rollback",
            _ => "upgrade",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::report::tests::report;

    #[test]
    fn the_prometheus_text_has_every_count_and_escapes_labels() {
        let text = report().to_prometheus();
        let expected = r##"# HELP maplock_upgrade_entries Entries of each map in the last upgrade, by what became of them; not_carried and uncertain are at most so many, and may count the value of each CPU.
# TYPE maplock_upgrade_entries gauge
maplock_upgrade_entries{map="backends",disposition="grow",what="kept"} 12
maplock_upgrade_entries{map="backends",disposition="grow",what="converted"} 0
maplock_upgrade_entries{map="backends",disposition="grow",what="lost"} 0
maplock_upgrade_entries{map="backends",disposition="grow",what="incomplete"} 0
maplock_upgrade_entries{map="backends",disposition="grow",what="not_carried"} 0
maplock_upgrade_entries{map="backends",disposition="grow",what="uncertain"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="kept"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="converted"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="incomplete"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="not_carried"} 0
maplock_upgrade_entries{map="ring \"a\\b\"\n",disposition="swap",what="uncertain"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="kept"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="converted"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="lost"} 812
maplock_upgrade_entries{map="stats",disposition="swap",what="incomplete"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="not_carried"} 0
maplock_upgrade_entries{map="stats",disposition="swap",what="uncertain"} 0
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
# HELP maplock_upgrade_exact 1 if it is certain that nothing of the map was lost or counted twice in the last upgrade, else 0.
# TYPE maplock_upgrade_exact gauge
maplock_upgrade_exact{map="backends",disposition="grow"} 1
maplock_upgrade_exact{map="ring \"a\\b\"\n",disposition="swap"} 1
maplock_upgrade_exact{map="stats",disposition="swap"} 0
# HELP maplock_upgrade_types_unknown 1 for each map of which nothing tells all types, in the last upgrade.
# TYPE maplock_upgrade_types_unknown gauge
# HELP maplock_upgrade_link_info What happened to each link in the last upgrade.
# TYPE maplock_upgrade_link_info gauge
maplock_upgrade_link_info{link="connect4",what="updated"} 1
# HELP maplock_upgrade_left_behind_info 1 for each map that lost what the programs of an upgrade wrote, which was taken back: entries at the least.
# TYPE maplock_upgrade_left_behind_info gauge
# HELP maplock_upgrade_maybe_lost_info 1 for each map that may have lost some of what programs wrote around the switch of an upgrade that had not ended.
# TYPE maplock_upgrade_maybe_lost_info gauge
# HELP maplock_upgrade_window_seconds Time from the first link's switch to the commit.
# TYPE maplock_upgrade_window_seconds gauge
maplock_upgrade_window_seconds 0.009
# HELP maplock_upgrade_seconds Time from the plan to the commit.
# TYPE maplock_upgrade_seconds gauge
maplock_upgrade_seconds 1.25
# HELP maplock_upgrade_generation Number of the generation to which the last upgrade led; nothing where that is not known.
# TYPE maplock_upgrade_generation gauge
maplock_upgrade_generation 3
# HELP maplock_upgrade_timestamp_seconds When the last upgrade ended, in seconds since 1970.
# TYPE maplock_upgrade_timestamp_seconds gauge
maplock_upgrade_timestamp_seconds 1700000000.5
# HELP maplock_upgrade_kind_info What the last upgrade was: upgrade, rollback, taken_back, or resumed of what an earlier call had begun.
# TYPE maplock_upgrade_kind_info gauge
maplock_upgrade_kind_info{kind="upgrade"} 1
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn what_may_be_lost_is_not_called_lost() {
        let of = |map: &str, entries, maybe| LeftBehind { map: map.to_owned(), entries, maybe };
        let left_behind = vec![of("flows", Some(7), false), of("slots", None, true), of("wide", None, false)];
        let text = Report { left_behind, ..report() }.to_prometheus();
        let told: Vec<_> = text.lines().filter(|line| line.contains("_info{map=")).collect();
        assert_eq!(
            told,
            [
                "maplock_upgrade_left_behind_info{map=\"flows\",entries=\"7\"} 1",
                "maplock_upgrade_left_behind_info{map=\"wide\",entries=\"unknown\"} 1",
                "maplock_upgrade_maybe_lost_info{map=\"slots\"} 1",
            ]
        );
    }

    #[test]
    fn what_was_brought_to_its_end_or_taken_back_is_no_upgrade() {
        let resumed = Report { resumed: true, ..report() };
        let taken_back = Report { taken_back: true, ..report() };
        for (report, kind) in [(resumed, "resumed"), (taken_back, "taken_back")] {
            let line = format!("maplock_upgrade_kind_info{{kind=\"{kind}\"}} 1\n");
            assert!(report.to_prometheus().contains(&line), "{kind}");
        }
    }
}
