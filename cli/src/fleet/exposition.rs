//! What the metrics of daemons tell of nodes: `maplock::metrics` and a report, as they are scraped, or as Prometheus hands them on with an
//! `instance` for each node (Prometheus, exposition formats: text-based format). Samples of others are passed over.

use std::collections::{BTreeMap, BTreeSet};

use super::{ForeignPin, MissingMap, Node, Pinned, PinnedMap, Reported, ReportedMap, two_directories};
use crate::error::Error;

/// A line: `name{label="value",..} value`.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// True where a file is of this form.
pub(super) fn is_one(text: &str) -> bool {
    let begins = ["# HELP ", "# TYPE ", "maplock_"];
    text.lines().any(|line| begins.iter().any(|begin| line.starts_with(begin)))
}

/// The nodes of a file, which has the name.
pub(super) fn nodes(name: &str, text: &str, shown: &str) -> Vec<Node> {
    let mut nodes: Vec<(&str, Vec<&Sample>)> = Vec::new();
    let mut samples = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("maplock_")) {
        match sample(line) {
            Some(sample) => samples.push(sample),
            None => {
                let what = format!("{shown} has something that is no metric in line {}", number + 1);
                return vec![Node { name: name.to_owned(), unread: Some(Error::new(what)), ..Node::default() }];
            }
        }
    }
    for sample in &samples {
        let of = sample.labels.get("instance").map_or(name, String::as_str);
        match nodes.iter_mut().find(|(node, _)| *node == of) {
            Some((_, samples)) => samples.push(sample),
            None => nodes.push((of, vec![sample])),
        }
    }
    if nodes.is_empty() {
        nodes.push((name, Vec::new()));
    }
    nodes.into_iter().map(|(name, samples)| node(name, &samples, shown)).collect()
}

fn node(name: &str, samples: &[&Sample], shown: &str) -> Node {
    let mut node = Node { name: name.to_owned(), report: report(samples), ..Node::default() };
    let dirs: BTreeSet<_> = samples.iter().filter_map(|sample| sample.labels.get("dir")).collect();
    match dirs.into_iter().collect::<Vec<_>>()[..] {
        [one, other, ..] => node.unread = Some(two_directories(shown, one, other)),
        _ => match pinned(samples) {
            Ok(None) if node.report.is_none() => {
                node.unread = Some(Error::new(format!("{shown} tells of {name} neither what is pinned nor a report")));
            }
            Ok(pinned) => node.pinned = pinned,
            Err(problem) => node.unread = Some(Error::new(format!("{shown} does not tell all of {name}: {problem}"))),
        },
    }
    node
}

/// What is pinned; `None` where nothing tells that somebody looked. What is cut off is an error: without one line of it, a map is not there.
fn pinned(samples: &[&Sample]) -> Result<Option<Pinned>, String> {
    let of = |name: &'static str| samples.iter().filter(move |sample| sample.name == name);
    let told = |sample: &&&Sample, label: &str| sample.labels.get(label).cloned();
    let Some(count) = of("maplock_maps").next() else {
        return match of("maplock_map_layout_info").next() {
            Some(_) => Err("it has no `maplock_maps`".to_owned()),
            None => Ok(None),
        };
    };
    let mut maps = Vec::new();
    for layout in of("maplock_map_layout_info") {
        let lacks = |what: &str| format!("a map has no `{what}`");
        let pin = told(&layout, "map").ok_or_else(|| lacks("map"))?;
        let room = of("maplock_map_max_entries").find(|room| told(room, "map").as_ref() == Some(&pin));
        maps.push(PinnedMap {
            max_entries: room.ok_or_else(|| format!("map `{pin}` has no `maplock_map_max_entries`"))?.value as u32,
            map_type: told(&layout, "type").ok_or_else(|| lacks("type"))?,
            digest: told(&layout, "digest").ok_or_else(|| lacks("digest"))?,
            locked_digest: told(&layout, "locked_digest"),
            layout_from: told(&layout, "layout_from").ok_or_else(|| lacks("layout_from"))?,
            problem: told(&layout, "problem"),
            // To count them may take long, so that no scrape does.
            entries: None,
            pin,
        });
    }
    if maps.len() as f64 != count.value {
        return Err(format!("it has {} of {} maps", maps.len(), count.value));
    }
    Ok(Some(Pinned {
        generation: of("maplock_generation").next().map(|generation| generation.value as u64),
        maps,
        dir: told(&count, "dir"),
        missing: of("maplock_map_missing_info").filter_map(|of| Some(MissingMap { map: told(&of, "map")? })).collect(),
        foreign: of("maplock_foreign_pin_info").filter_map(|of| Some(ForeignPin { pin: told(&of, "pin")? })).collect(),
        next: of("maplock_unfinished_upgrade_info").next().and_then(|next| told(&next, "next")),
        _programs: Vec::new(),
    }))
}

/// What the last upgrade of a daemon did.
fn report(samples: &[&Sample]) -> Option<Reported> {
    let of = |name: &'static str| samples.iter().filter(move |sample| sample.name == name);
    let window = of("maplock_upgrade_window_seconds").next()?.value;
    let maps = of("maplock_upgrade_exact").filter_map(|exact| {
        let map = exact.labels.get("map")?;
        let is_lost = |sample: &&&Sample| {
            sample.labels.get("map") == Some(map) && sample.labels.get("what").is_some_and(|what| what == "lost")
        };
        let lost = of("maplock_upgrade_entries").find(is_lost).map(|lost| lost.value as u64);
        Some(ReportedMap { map: map.clone(), exact: exact.value == 1.0, lost })
    });
    Some(Reported { maps: maps.collect(), taken_back: false, way_back: None, _window: window })
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'))?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(within) = rest.strip_prefix('{') {
        rest = within;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        }
        rest = &rest[1..];
    }
    // A time may stand behind it.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// What stands before the closing quote, and what after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut signs) = (String::new(), text.char_indices());
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match signs.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => value.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SCRAPED: &str = "\
# TYPE go_threads gauge
go_threads 7
maplock_generation{dir=\"/p\"} 2
maplock_map_layout_info{dir=\"/p\",map=\"a\",type=\"hash\",layout_from=\"btf\",digest=\"aa\",problem=\"no \\\"BTF\\\"\\\\\\n\"} 1
maplock_map_max_entries{dir=\"/p\",map=\"a\"} 64
maplock_map_missing_info{dir=\"/p\",map=\"b\"} 1
maplock_unfinished_upgrade_info{dir=\"/p\",next=\"discard\"} 1
maplock_maps{dir=\"/p\"} 1
maplock_upgrade_exact{map=\"a\",disposition=\"swap\"} 0
maplock_upgrade_entries{map=\"a\",disposition=\"swap\",what=\"lost\"} 5
maplock_upgrade_window_seconds 0.5
";

    fn only(text: &str) -> Node {
        let mut nodes = nodes("n", text, "n.prom");
        assert_eq!(nodes.len(), 1);
        nodes.remove(0)
    }

    #[test]
    fn a_scrape_tells_what_is_pinned_and_what_was_done() {
        assert!(is_one(SCRAPED) && !is_one("{\"maps\": []}") && !is_one("no JSON"));
        let node = only(SCRAPED);
        assert!(node.unread.is_none());
        let (pinned, report) = (node.pinned.unwrap(), node.report.unwrap());
        let map = &pinned.maps[0];
        assert_eq!((pinned.generation, map.max_entries, map.entries), (Some(2), 64, None));
        assert_eq!((map.problem.as_deref(), map.locked_digest.as_deref()), (Some("no \"BTF\"\\\n"), None));
        assert_eq!((pinned.missing[0].map.as_str(), pinned.next.as_deref()), ("b", Some("discard")));
        assert_eq!((report.maps[0].exact, report.maps[0].lost), (false, Some(5)));
    }

    #[test]
    fn what_is_cut_off_is_no_node_with_less() {
        let lines: Vec<_> = SCRAPED.lines().collect();
        // Up to `maplock_maps`, which stands behind all that is pinned.
        for end in 4..=7 {
            let node = only(&(lines[..end].join("\n") + "\n"));
            assert!(node.pinned.is_none() && node.unread.is_some(), "{end}");
        }
        for (line, text) in [(4, lines[3]), (5, lines[4])] {
            let node = only(&SCRAPED.replace(text, ""));
            assert!(node.pinned.is_none() && node.unread.is_some(), "{line}");
        }
        for broken in ["maplock_maps{dir=\"/p", "maplock_maps", "maplock_maps x"] {
            assert!(only(broken).unread.is_some(), "{broken}");
        }
        assert!(only("# TYPE go_threads gauge\n").unread.is_some());
        let report: String =
            SCRAPED.lines().filter(|line| line.contains("upgrade_")).map(|line| line.to_owned() + "\n").collect();
        let node = only(&report);
        assert!(node.unread.is_none() && node.pinned.is_none() && node.report.is_some());
    }

    #[test]
    fn what_prometheus_hands_on_is_told_apart_by_instance() {
        let of = |instance: &str| {
            let text = SCRAPED.replace("{", &format!("{{instance=\"{instance}\","));
            text.replace("window_seconds ", &format!("window_seconds{{instance=\"{instance}\"}} "))
                .replace(" 1\n", " 1 1700000000000\n")
        };
        let both = nodes("n", &(of("node-1") + &of("node-2").replace("=\"aa\"", "=\"bb\"")), "n.prom");
        let told: Vec<_> =
            both.iter().map(|node| (&*node.name, &*node.pinned.as_ref().unwrap().maps[0].digest)).collect();
        assert_eq!(told, [("node-1", "aa"), ("node-2", "bb")]);
        // Of one node, two directories are not told as one.
        let other = SCRAPED.replace("\"/p\"", "\"/q\"");
        assert!(only(&(SCRAPED.to_owned() + &other)).unread.is_some());
    }
}
