//! What an upgrade did, as metrics.

use std::fmt;

use crate::upgrade::report::Report;
use crate::upgrade::taken_back::LeftBehind;

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
            "What the programs of an upgrade before wrote that was taken back, and is lost: entries at the least.",
        );
        for LeftBehind { map, entries, .. } in &self.left_behind {
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
