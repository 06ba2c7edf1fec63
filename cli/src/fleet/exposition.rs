//! What the metrics of daemons tell of nodes: `maplock::metrics` and a report, as they are scraped, or as Prometheus hands them on with an
//! `instance` for each node (Prometheus, exposition formats: text-based format). Samples of others are passed over.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;

use super::{ForeignPin, MissingMap, Node, Pinned, PinnedMap, Reported, ReportedMap, two_directories};
use crate::error::Error;

/// What Prometheus itself says of each instance that it scrapes: 0 if that failed (Prometheus, jobs and instances).
const UP: &str = "up";

/// A line: `name{label="value",..} value`.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// True if a file is of this form.
pub(super) fn is_one(text: &str) -> bool {
    let begins = ["# HELP ", "# TYPE ", "maplock_"];
    text.lines().any(|line| begins.iter().any(|begin| line.starts_with(begin)))
}

/// The nodes of a file, which has the name.
pub(super) fn nodes(name: &str, text: &str, shown: &str) -> Vec<Node> {
    let mut nodes: Vec<(&str, Vec<&Sample>)> = Vec::new();
    let mut samples = Vec::new();
    let begins = ["maplock_", "up{", "up "];
    let is_asked_for = |line: &str| begins.iter().any(|begin| line.starts_with(begin));
    for (number, line) in text.lines().enumerate().filter(|(_, line)| is_asked_for(line)) {
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
    let mut node = Node { name: name.to_owned(), ..Node::default() };
    // Prometheus says of each instance whether it answers: of one that does not, that is all there is.
    if !samples.is_empty() && samples.iter().all(|sample| sample.name == UP) {
        let why = match samples.iter().any(|sample| sample.value == 0.0) {
            true => format!("{shown}: {name} does not answer Prometheus"),
            false => format!("{shown}: {name} answers Prometheus, and tells nothing of maplock"),
        };
        node.unread = Some(Error::new(why).help(format!("match `{UP}` of the jobs of daemons only: up{{job=\"..\"}}")));
        return node;
    }
    let dirs: BTreeSet<_> = samples.iter().filter_map(|sample| sample.labels.get("dir")).collect();
    match dirs.into_iter().collect::<Vec<_>>()[..] {
        [one, other, ..] => node.unread = Some(two_directories(shown, one, other)),
        _ => match pinned(samples).and_then(|pinned| Ok((pinned, report(samples)?))) {
            Ok((None, None)) => {
                node.unread = Some(Error::new(format!("{shown} tells of {name} neither what is pinned nor a report")));
            }
            Ok((pinned, report)) => (node.pinned, node.report) = (pinned, report),
            Err(problem) => node.unread = Some(Error::new(format!("{shown} does not tell all of {name}: {problem}"))),
        },
    }
    node
}

/// What is pinned; `None` if nothing tells that somebody looked. What is cut off is an error: without one line of it, a map is not there.
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
    // Always there: where somebody asked for less than all, what did not end and what is missing may be left out as well.
    if of("maplock_kept_generations").next().is_none() {
        return Err("it has no `maplock_kept_generations`".to_owned());
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

/// What the last upgrade of a daemon did, or a roll-back; `None` if nothing tells of one.
fn report(samples: &[&Sample]) -> Result<Option<Reported>, String> {
    let of = |name: &'static str| samples.iter().filter(move |sample| sample.name == name);
    if !samples.iter().any(|sample| sample.name.starts_with("maplock_upgrade_")) {
        return Ok(None);
    }
    let window = of("maplock_upgrade_window_seconds").next().ok_or("it has no `maplock_upgrade_window_seconds`")?;
    let kind = of("maplock_upgrade_kind_info").next().and_then(|kind| kind.labels.get("kind"));
    let kind = kind.ok_or("it has no `maplock_upgrade_kind_info`")?;
    let maps = of("maplock_upgrade_exact").filter_map(|exact| {
        let map = exact.labels.get("map")?;
        let is_lost = |sample: &&&Sample| {
            sample.labels.get("map") == Some(map) && sample.labels.get("what").is_some_and(|what| what == "lost")
        };
        let lost = of("maplock_upgrade_entries").find(is_lost).map(|lost| lost.value as u64);
        Some(ReportedMap { map: map.clone(), exact: exact.value == 1.0, lost })
    });
    Ok(Some(Reported {
        maps: maps.collect(),
        taken_back: kind == "taken_back",
        resumed: kind == "resumed",
        way_back: (kind == "rollback").then_some(IgnoredAny),
        generation: of("maplock_upgrade_generation").next().map(|generation| generation.value as u64),
        _window: window.value,
    }))
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
maplock_kept_generations{dir=\"/p\"} 1
maplock_unfinished_upgrade_info{dir=\"/p\",next=\"discard\"} 1
maplock_maps{dir=\"/p\"} 1
maplock_upgrade_exact{map=\"a\",disposition=\"swap\"} 0
maplock_upgrade_entries{map=\"a\",disposition=\"swap\",what=\"lost\"} 5
maplock_upgrade_window_seconds 0.5
maplock_upgrade_generation 2
maplock_upgrade_kind_info{kind=\"upgrade\"} 1
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
        assert!(report.way_back.is_none() && !report.taken_back && !report.resumed);
        assert_eq!(only(SCRAPED).reported_other(), None);
    }

    #[test]
    fn what_a_report_is_of_is_told_and_whether_it_is_of_what_is_live() {
        let of = |kind: &str| only(&SCRAPED.replace("kind=\"upgrade\"", &format!("kind=\"{kind}\""))).report.unwrap();
        assert!(of("rollback").way_back.is_some() && of("taken_back").taken_back && of("resumed").resumed);
        // One that does not tell is taken for neither.
        let node = only(&SCRAPED.replace("maplock_upgrade_kind_info", "other"));
        assert!(node.report.is_none() && node.unread.is_some());
        let other = SCRAPED.replace("upgrade_generation 2", "upgrade_generation 3");
        assert_eq!(only(&other).reported_other(), Some(3));
        // Where nothing is live of which maplock knows, neither is that.
        assert_eq!(only(&SCRAPED.replace("maplock_generation", "other")).reported_other(), Some(2));
    }

    #[test]
    fn what_is_cut_off_is_no_node_with_less() {
        let lines: Vec<_> = SCRAPED.lines().collect();
        // Up to `maplock_maps`, which stands behind all that is pinned.
        for end in 4..=8 {
            let node = only(&(lines[..end].join("\n") + "\n"));
            assert!(node.pinned.is_none() && node.unread.is_some(), "{end}");
        }
        for (line, text) in [(4, lines[3]), (5, lines[4]), (7, lines[6])] {
            let node = only(&SCRAPED.replace(text, ""));
            assert!(node.pinned.is_none() && node.unread.is_some(), "{line}");
        }
        // Of a report, up to what it is of.
        for end in 10..=13 {
            assert!(only(&(lines[..end].join("\n") + "\n")).unread.is_some(), "{end}");
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
            let bare = |name: &str| format!("{name}{{instance=\"{instance}\"}} ");
            text.replace("window_seconds ", &bare("window_seconds"))
                .replace("upgrade_generation ", &bare("upgrade_generation"))
                .replace(" 1\n", " 1 1700000000000\n")
        };
        let both = nodes("n", &(of("node-1") + &of("node-2").replace("=\"aa\"", "=\"bb\"")), "n.prom");
        let told: Vec<_> =
            both.iter().map(|node| (&*node.name, &*node.pinned.as_ref().unwrap().maps[0].digest)).collect();
        assert_eq!(told, [("node-1", "aa"), ("node-2", "bb")]);
        // One that is down has no line but that of Prometheus, which counts as a node that was not read.
        let up =
            |instance: &str, up: u8| format!("up{{instance=\"{instance}\",job=\"minimesh\"}} {up} 1700000000000\n");
        let all = up("node-0", 0) + &up("node-1", 1) + &up("node-2", 1) + &of("node-1") + &up("node-3", 1);
        let told = nodes("n", &all, "n.prom");
        let told = told.iter().map(|node| {
            let unread = node.unread.as_ref().map(ToString::to_string);
            (node.name.as_str(), node.pinned.is_some(), unread.unwrap_or_default())
        });
        let nothing = |node: &str| format!("n.prom: {node} answers Prometheus, and tells nothing of maplock");
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ("node-0", false, "n.prom: node-0 does not answer Prometheus".to_owned()),
                ("node-1", true, String::new()),
                ("node-2", false, nothing("node-2")),
                ("node-3", false, nothing("node-3")),
            ]
        );
        // Of one node, two directories are not told as one.
        let other = SCRAPED.replace("\"/p\"", "\"/q\"");
        assert!(only(&(SCRAPED.to_owned() + &other)).unread.is_some());
    }
}
