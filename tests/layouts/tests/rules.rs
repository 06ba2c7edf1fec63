//! Every rule's example, compiled: the rule finds it, nothing else is found that should not be, and the pages tell the
//! truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use maplock_layout::config::Levels;
use maplock_layout::conversion::Answers;
use maplock_layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock_layout::rules::{self, Rule};
use maplock_layout::{Config, Finding, Lock, MapDef, ObjectMaps, compare, observe};
use maplock_layout_tests::toolchain::{Clang, Order, file_name, files, root};
use maplock_layout_tests::{lock, maps_of};

/// Both sides of an example, as maps.
struct Pair {
    rule: &'static Rule,
    old: Vec<MapDef>,
    new: Vec<MapDef>,
}

impl Pair {
    /// All examples, compiled by the newest clang.
    fn all() -> Option<Vec<Self>> {
        let clang = Clang::newest()?;
        let folder = tempfile::tempdir().expect("a folder");
        let mut known = BTreeMap::new();
        let mut maps = |source: &'static str| -> Vec<MapDef> {
            let next = known.len();
            known
                .entry(source)
                .or_insert_with(|| compile(&clang, &folder.path().join(next.to_string()), source))
                .clone()
        };
        let pairs =
            rules::ALL.iter().map(|rule| Self { rule, old: maps(rule.example.old), new: maps(rule.example.new) });
        Some(pairs.collect())
    }
}

fn compile(clang: &Clang, path: &Path, source: &str) -> Vec<MapDef> {
    let (file, object) = (path.with_extension("c"), path.with_extension("o"));
    fs::write(&file, format!("#include \"bpf_min.h\"\n{source}")).expect("a file");
    clang.compile(Order::Little, &file, &object);
    let maps = maps_of(&fs::read(object).expect("an object")).unwrap_or_else(|error| panic!("{error}\n{source}"));
    assert!(!maps.is_empty(), "no map in\n{source}");
    maps
}

fn findings(old: &[MapDef], new: &[MapDef]) -> Vec<Finding> {
    compare(&lock(old), &lock(new), &Levels::default()).findings
}

fn conflicts(one: &[MapDef], other: &[MapDef]) -> Vec<Finding> {
    let objects =
        [("a.o", one), ("b.o", other)].map(|(name, maps)| ObjectMaps { name: name.into(), maps: maps.to_vec() });
    observe(&objects, &Config::default()).expect("the configuration names no map").conflicts
}

#[test]
fn every_rule_finds_its_own_example() {
    let Some(pairs) = Pair::all() else { return };
    for Pair { rule, old, new } in &pairs {
        let found = match rule.id {
            // Two objects of one release, not two releases.
            "map-conflict" => conflicts(old, new),
            // No change of a declaration shows it; see below.
            "stale-epoch" => continue,
            _ => findings(old, new),
        };
        assert!(found.iter().any(|finding| finding.rule == *rule), "{}: {found:#?}", rule.id);
        let primary = found.iter().filter(|finding| finding.consequence_of.is_none()).map(|finding| finding.rule.id);
        assert!(primary.clone().any(|id| id == rule.id), "{} is only a consequence in its own example", rule.id);
    }
    assert_eq!(pairs.len(), rules::ALL.len());
}

#[test]
fn nothing_is_found_between_an_example_and_itself() {
    let Some(pairs) = Pair::all() else { return };
    for (rule, side) in pairs.iter().flat_map(|pair| [(pair.rule, &pair.old), (pair.rule, &pair.new)]) {
        assert_eq!(findings(side, side), [], "{}", rule.id);
        assert_eq!(conflicts(side, side), [], "{}", rule.id);
    }
}

#[test]
fn a_finding_changes_the_digest_where_bytes_or_their_meaning_differ() {
    let Some(pairs) = Pair::all() else { return };
    let mut differ = 0;
    for Pair { rule, old, new } in &pairs {
        let (old, new) = (lock(old), lock(new));
        for (name, before) in &old.maps {
            let Some(after) = new.maps.get(name) else { continue };
            let found = compare(&old, &new, &Levels::default());
            // What the page on digests says is left out of them.
            let counts = |finding: &&Finding| {
                !["max-entries-decreased", "max-entries-increased", "pinning-added", "pinning-removed"]
                    .contains(&finding.rule.id)
                    && finding.rule.tier != rules::Tier::Spelling
            };
            if found.of_map(name).filter(counts).count() > 0 {
                assert_ne!(before.def.digest(), after.def.digest(), "{}: {name}", rule.id);
                differ += 1;
            }
        }
    }
    assert!(differ >= 20, "{differ} digests differ");
}

/// Every rule over every pair, in both directions, to be read by a person.
#[test]
fn every_rule_over_every_pair() {
    let Some(pairs) = Pair::all() else { return };
    let mut text = String::new();
    for Pair { rule, old, new } in &pairs {
        for (direction, from, to) in [("old -> new", old, new), ("new -> old", new, old)] {
            let mut found = findings(from, to);
            if rule.id == "map-conflict" {
                found.extend(conflicts(from, to));
            }
            list(&mut text, &format!("{}: {direction}", rule.id), &found);
        }
    }
    insta::assert_snapshot!("every_rule_over_every_pair", text);
}

fn list(text: &mut String, title: &str, found: &[Finding]) {
    _ = writeln!(text, "{title}");
    for finding in found {
        _ = write!(text, "    {} {} [{}, {}]", finding.rule.id, finding.path, finding.rule.tier, finding.level);
        if let Some(cause) = &finding.consequence_of {
            _ = write!(text, ", a consequence of {cause}");
        }
        _ = writeln!(text, "\n        {}", finding.message);
    }
}

/// The demo's releases, from each to each other: what a node may be upgraded from, and rolled back to.
#[test]
fn every_rule_over_the_releases_of_minimesh() {
    let releases = ["v1", "v2", "v3", "v4"].map(|release| {
        let object = root().join(format!("bpf/minimesh/{release}/minimesh.bpf.o"));
        (release, maps_of(&fs::read(object).expect("an object")).expect("its maps"))
    });
    let mut text = String::new();
    for (from, old) in &releases {
        for (to, new) in &releases {
            let found = findings(old, new);
            assert_eq!(found.is_empty(), from == to, "{from} -> {to}");
            list(&mut text, &format!("{from} -> {to}"), &found);
        }
    }
    insta::assert_snapshot!("every_rule_over_the_releases_of_minimesh", text);
}

#[test]
fn an_epoch_that_leads_nowhere_is_stale() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let of = |rule: &Rule, side: &'static str| compile(&clang, &folder.path().join(rule.id), side).remove(0);
    let example = |rule: &'static Rule| (of(rule, rule.example.old), of(rule, rule.example.new));
    let (before, now) = example(&rules::MEMBER_MOVED);
    let (_, elsewhere) = example(&rules::MEMBER_ADDED);
    let epoch = |from: &MapDef, to: &MapDef| Epoch {
        from: from.digest(),
        to: to.digest(),
        rules: vec!["member-moved".to_owned()],
        on_upgrade: OnUpgrade::Swap,
        merge: [].into(),
        convert: Answers::default(),
        reason: "members exchanged".to_owned(),
        max_entries: None,
        previous: from.clone(),
    };
    let lock =
        |epochs| Lock { maps: [("flows".to_owned(), LockedMap { epochs, ..LockedMap::new(now.clone()) })].into() };
    let stale = |lock: &Lock| -> Vec<_> {
        compare(lock, lock, &Levels::default()).findings.iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(stale(&lock(vec![epoch(&before, &now)])), [""; 0], "it leads to today's definition");
    assert_eq!(stale(&lock(vec![epoch(&before, &elsewhere)])), ["stale-epoch"]);
    assert_eq!(stale(&lock(vec![epoch(&before, &elsewhere), epoch(&elsewhere, &now)])), [""; 0], "by way of another");
    assert_eq!(stale(&lock(vec![epoch(&before, &elsewhere), epoch(&before, &now)])), ["stale-epoch"]);

    // It is said, and accepts nothing.
    let released = Lock { maps: [("flows".to_owned(), LockedMap::new(before.clone()))].into() };
    let held = compare(&released, &lock(vec![epoch(&before, &elsewhere)]), &Levels::default());
    assert!(held.has_breaks(), "{held:#?}");
    assert!(!compare(&released, &lock(vec![epoch(&before, &now)]), &Levels::default()).has_breaks());
}

#[test]
fn every_file_of_a_rule_is_registered_under_its_own_name() {
    let folder = root().join("layout/src/rules");
    let names = files(&folder, ".rs")
        .iter()
        .map(|path| file_name(path))
        .filter(|name| !matches!(&**name, "mod.rs" | "rule.rs"))
        .collect::<Vec<_>>();
    let of_files: BTreeSet<_> = names.iter().map(|name| name.trim_end_matches(".rs").replace('_', "-")).collect();
    let registered: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.id.to_owned()).collect();
    assert_eq!(of_files, registered);
    assert_eq!(rules::ALL.len(), registered.len(), "an id is there twice");
    for rule in rules::ALL {
        let text = fs::read_to_string(folder.join(format!("{}.rs", rule.id.replace('-', "_")))).expect("its file");
        assert!(
            text.starts_with(&format!("//! `{}`\n", rule.id)),
            "{} does not name itself in its first line",
            rule.id
        );
    }
}

#[test]
fn rules_are_listed_gravest_first_then_by_name() {
    let order: Vec<_> = rules::ALL.iter().map(|rule| (rule.tier, rule.id)).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(order, sorted);
}

#[test]
fn an_example_declares_a_map_called_flows_unless_it_is_about_maps_that_come_and_go() {
    let Some(pairs) = Pair::all() else { return };
    for Pair { rule, old, new } in &pairs {
        let has_flows = [old, new].map(|maps| maps.iter().any(|map| map.name == "flows"));
        assert_eq!(has_flows, [true; 2], "{}", rule.id);
    }
}
