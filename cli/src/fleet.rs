//! What documents of many nodes say: the one reader of what `maplock plan`, `inspect` and `rollback` and the report of a daemon are
//! as JSON. A file is that of a node, which its name tells, and holds one document or several behind each other.
//!
//! Of a document, what is asked for here is read, and what it has besides is passed over. The metrics of daemons tell the same, and one file of
//! them may be of several nodes.

mod exposition;

#[cfg(target_os = "linux")]
use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::Error;

/// What is known of a node.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Its file's name, without `.json`, `.prom` or `.txt`; of metrics that name an instance, that.
    pub(crate) name: String,
    /// What is pinned there.
    pub(crate) pinned: Option<Pinned>,
    /// What an upgrade would do.
    pub(crate) plan: Option<Planned>,
    /// What the last upgrade or roll-back did.
    pub(crate) report: Option<Reported>,
    /// That one of these could not be told, in the words of the node.
    pub(crate) failed: Option<String>,
    /// Why the file, or the rest of it, says nothing.
    pub(crate) unread: Option<Error>,
}

/// A document of `maplock inspect`.
#[derive(Debug, Deserialize)]
pub(crate) struct Pinned {
    /// The number of the live generation; `None` if maplock did not make it.
    pub(crate) generation: Option<u64>,
    pub(crate) maps: Vec<PinnedMap>,
    dir: Option<String>,
    /// Maps of the generation whose pins somebody removed.
    #[serde(default)]
    pub(crate) missing: Vec<MissingMap>,
    /// What belongs to somebody else; all, if maplock made no generation.
    #[serde(default)]
    pub(crate) foreign: Vec<ForeignPin>,
    /// What the next upgrade does first, if the last one did not end: `complete` or `discard`.
    pub(crate) next: Option<String>,
    /// Tells the document from others that have maps.
    #[serde(rename = "programs")]
    _programs: Vec<IgnoredAny>,
}

/// A pinned map.
#[derive(Debug, Deserialize)]
pub(crate) struct PinnedMap {
    pub(crate) pin: String,
    #[serde(rename = "type", default)]
    pub(crate) map_type: String,
    pub(crate) digest: String,
    /// The digest that the lock of its generation has for it.
    pub(crate) locked_digest: Option<String>,
    /// What its layout is known from: `attributes` if nothing tells it.
    #[serde(default)]
    pub(crate) layout_from: String,
    /// Why its types could not be read.
    pub(crate) problem: Option<String>,
    pub(crate) max_entries: u32,
    /// `None` if they can't be counted.
    pub(crate) entries: Option<u64>,
}

/// A map whose pin is gone.
#[derive(Debug, Deserialize)]
pub(crate) struct MissingMap {
    pub(crate) map: String,
}

/// A pin that is no part of the generation.
#[derive(Debug, Deserialize)]
pub(crate) struct ForeignPin {
    pub(crate) pin: String,
}

/// A document of `maplock plan`.
#[derive(Debug, Deserialize)]
pub(crate) struct Planned {
    pub(crate) maps: Vec<PlannedMap>,
    /// True if the plan ended with exit code 100.
    pub(crate) fails: bool,
    /// Maps for which `--deny` says so.
    pub(crate) denied: Vec<String>,
    /// True if the upgrade would not begin.
    pub(crate) refused: bool,
    /// What lies there of an upgrade or a roll-back that did not end.
    #[serde(default)]
    unfinished: Option<Unfinished>,
}

/// An upgrade or a roll-back that did not end.
#[derive(Debug, Deserialize)]
struct Unfinished {
    /// True if the plan is the same after it.
    holds: bool,
}

/// What an upgrade would do to a map.
#[derive(Debug, Deserialize)]
pub(crate) struct PlannedMap {
    pub(crate) map: String,
    pub(crate) disposition: String,
    pub(crate) loses_entries: bool,
    /// `None` if there is no map, or they can't be counted.
    pub(crate) entries: Option<u64>,
}

/// A report, of an upgrade or a roll-back.
#[derive(Debug, Deserialize)]
pub(crate) struct Reported {
    pub(crate) maps: Vec<ReportedMap>,
    pub(crate) taken_back: bool,
    /// True if it ended what an earlier call had begun.
    #[serde(default)]
    pub(crate) resumed: bool,
    /// Present if it is a roll-back.
    pub(crate) way_back: Option<IgnoredAny>,
    /// The number of the generation to which it led, if that is known.
    pub(crate) generation: Option<u64>,
    #[serde(rename = "window")]
    _window: f64,
}

/// What became of a map.
#[derive(Debug, Deserialize)]
pub(crate) struct ReportedMap {
    pub(crate) map: String,
    pub(crate) exact: bool,
    pub(crate) lost: Option<u64>,
}

/// What could not be done.
#[derive(Debug, Deserialize)]
struct Failed {
    error: What,
}

#[derive(Debug, Deserialize)]
struct What {
    what: String,
    cause: Option<String>,
}

/// Any of them: each has a member that the others have not.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Document {
    Pinned(Pinned),
    Plan(Planned),
    Report(Reported),
    /// Of several steps back, the last is what was done last.
    Reports(Vec<Reported>),
    Failed(Failed),
}

/// Reads the file of a node; of metrics, those of its nodes.
pub(crate) fn read(path: &Path) -> Vec<Node> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = [".json", ".prom", ".txt"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned();
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) if exposition::is_one(&text) => exposition::nodes(&name, &text, &shown),
        Ok(text) => vec![node(name, &text, &shown)],
        Err(error) => {
            let unread = Error::new(format!("could not read {shown}")).because(error);
            vec![Node { name, unread: Some(unread), ..Node::default() }]
        }
    }
}

fn two_directories(shown: &str, one: &str, other: &str) -> Error {
    Error::new(format!("{shown} tells what is pinned at {one}, and at {other}")).help("write a file for each directory")
}

fn node(name: String, text: &str, shown: &str) -> Node {
    let mut node = Node { name, ..Node::default() };
    for document in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        match document.and_then(serde_json::from_value) {
            Ok(Document::Pinned(pinned)) => {
                let dirs = (node.pinned.as_ref().and_then(|other| other.dir.as_ref()), pinned.dir.as_ref());
                if let (Some(one), Some(other)) = dirs
                    && one != other
                {
                    node.unread = Some(two_directories(shown, one, other));
                    break;
                }
                node.pinned = Some(pinned);
            }
            Ok(Document::Plan(plan)) => node.plan = Some(plan),
            Ok(Document::Report(report)) => node.report = Some(report),
            Ok(Document::Reports(reports)) => node.report = reports.into_iter().next_back().or(node.report.take()),
            Ok(Document::Failed(Failed { error: What { what, cause } })) => {
                node.failed = Some(match cause {
                    Some(cause) => format!("{what}: {}", cause.lines().next().unwrap_or_default()),
                    None => what,
                });
            }
            Err(error) => {
                let error = if error.is_data() { "it is none of these".to_owned() } else { error.to_string() };
                let what = format!("{shown} is not output of `maplock plan`, `maplock inspect` or a report");
                node.unread = Some(Error::new(what).because(error).help("write it by `--message-format json`"));
                break;
            }
        }
    }
    node
}

impl Node {
    /// The digest of each pinned map's layout, by its pin.
    #[cfg(target_os = "linux")]
    pub(crate) fn layouts(&self) -> Option<BTreeMap<String, String>> {
        let maps = &self.pinned.as_ref()?.maps;
        Some(maps.iter().map(|map| (map.pin.clone(), map.digest.clone())).collect())
    }

    /// The generation to which the report led, if it is not the one that is told as live.
    #[cfg(target_os = "linux")]
    pub(crate) fn reported_other(&self) -> Option<u64> {
        let (pinned, report) = (self.pinned.as_ref()?, self.report.as_ref()?);
        report.generation.filter(|reported| pinned.generation != Some(*reported))
    }

    /// True if an upgrade or a roll-back that did not end comes first, and then what is pinned may be something else.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_changing(&self) -> bool {
        let is_planned = |plan: &Planned| plan.unfinished.as_ref().is_some_and(|unfinished| !unfinished.holds);
        self.pinned.as_ref().is_some_and(Pinned::is_changing) || self.plan.as_ref().is_some_and(is_planned)
    }

    /// True if nothing was said of it.
    pub(crate) fn is_silent(&self) -> bool {
        self.pinned.is_none()
            && self.plan.is_none()
            && self.report.is_none()
            && self.failed.is_none()
            && self.unread.is_none()
    }
}

impl Pinned {
    /// True if the next upgrade first completes the one that did not end, and so meets other maps.
    pub(crate) fn is_changing(&self) -> bool {
        self.next.as_deref() == Some("complete")
    }
}

#[cfg(target_os = "linux")]
impl Planned {
    /// What would happen to maps that do not go on as they are: `grow`, and which.
    pub(crate) fn changes(&self) -> Vec<(&str, Vec<&PlannedMap>)> {
        let mut changes: Vec<(&str, Vec<&PlannedMap>)> = Vec::new();
        for map in self.maps.iter().filter(|map| map.disposition != "reuse") {
            match changes.iter_mut().find(|(what, _)| *what == map.disposition) {
                Some((_, maps)) => maps.push(map),
                None => changes.push((&map.disposition, vec![map])),
            }
        }
        changes
    }

    /// Entries that would be lost, as far as they are counted.
    pub(crate) fn lost(&self) -> u64 {
        self.maps.iter().filter(|map| map.loses_entries).filter_map(|map| map.entries).sum()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const INSPECTED: &str = r#"{"dir": "/sys/fs/bpf/m", "generation": 2, "programs": [], "links": [], "maps":
        [{"pin": "stats", "digest": "aa", "max_entries": 64, "entries": 12, "type": "hash"}]}"#;
    const PLANNED: &str = r#"{"fails": true, "denied": ["stats"], "refused": false, "maps":
        [{"map": "stats", "disposition": "swap", "loses_entries": true, "entries": 12},
         {"map": "flows", "disposition": "reuse", "loses_entries": false, "entries": null}]}"#;

    fn of(text: &str) -> Node {
        node("n".to_owned(), text, "n.json")
    }

    #[test]
    fn documents_behind_each_other_are_those_of_one_node() {
        let node = of(&format!("{INSPECTED}\n{PLANNED}"));
        assert_eq!(node.layouts().unwrap(), BTreeMap::from([("stats".to_owned(), "aa".to_owned())]));
        let plan = node.plan.unwrap();
        assert_eq!((plan.lost(), plan.changes().len(), plan.changes()[0].0), (12, 1, "swap"));
    }

    #[test]
    fn what_a_node_could_not_do_is_told_in_its_words() {
        let node = of(
            r#"{"result": "not-done", "fails": true, "error": {"what": "could not plan", "cause": "EPERM\nmore", "help": []}}"#,
        );
        assert_eq!(node.failed.as_deref(), Some("could not plan: EPERM"));
        assert!(!node.is_silent());
    }

    #[test]
    fn what_is_no_document_is_told_and_what_stands_before_it_counts() {
        for rest in ["{\"maps\": []}", "{\"generation\":", "no JSON"] {
            let node = of(&format!("{INSPECTED}{rest}"));
            assert!(node.unread.is_some() && node.pinned.is_some(), "{rest}");
        }
        assert!(of("").is_silent());
    }

    #[test]
    fn of_two_directories_neither_stands_for_the_node() {
        let again = of(&format!("{INSPECTED}{INSPECTED}"));
        assert!(again.unread.is_none() && again.pinned.is_some());
        let other = INSPECTED.replace("/sys/fs/bpf/m", "/sys/fs/bpf/other");
        assert!(of(&format!("{INSPECTED}{other}")).unread.is_some());
    }
}
