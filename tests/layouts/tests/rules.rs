//! Every rule's example, compiled: the rule finds it, nothing else is found that should not be, and the pages tell the
//! truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use maplock_codegen::Object;
use maplock_layout::config::Levels;
use maplock_layout::conversion::Answers;
use maplock_layout::counters::unmerged;
use maplock_layout::epochs::{accept, undo};
use maplock_layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock_layout::rules::{self, Compares, Decision, Level, Rule};
use maplock_layout::{Config, Disposition, Finding, Lock, MapDef, ObjectMaps, Observation, answers, compare, observe};
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

fn object(clang: &Clang, path: &Path, source: &str) -> Vec<u8> {
    let (file, object) = (path.with_extension("c"), path.with_extension("o"));
    fs::write(&file, format!("#include \"bpf_min.h\"\n{source}")).expect("a file");
    clang.compile(Order::Little, &file, &object);
    fs::read(object).expect("an object")
}

fn compile(clang: &Clang, path: &Path, source: &str) -> Vec<MapDef> {
    let maps = maps_of(&object(clang, path, source)).unwrap_or_else(|error| panic!("{error}\n{source}"));
    assert!(!maps.is_empty(), "no map in\n{source}");
    maps
}

fn findings(old: &[MapDef], new: &[MapDef]) -> Vec<Finding> {
    compare(&lock(old), &lock(new), &Levels::default()).findings
}

/// The new side of a rule's example. That a map had another name is said by the lock alone.
fn as_locked(rule: &Rule, new: &[MapDef]) -> Lock {
    let mut lock = lock(new);
    if rule == &rules::MAP_RENAMED {
        lock.maps.values_mut().for_each(|map| map.renamed_from = vec!["flows".to_owned()]);
    }
    lock
}

fn conflicts(one: &[MapDef], other: &[MapDef]) -> Vec<Finding> {
    let objects = [("a.o", one), ("b.o", other)].map(|(name, maps)| ObjectMaps::new(name, maps.to_vec()));
    observe(&objects, &Config::default()).expect("the configuration names no map").conflicts
}

/// What is found of what the programs of an example do.
fn counters(source: &str) -> Vec<Finding> {
    let Some(clang) = Clang::newest() else { return Vec::new() };
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = object(&clang, &folder.path().join("example"), source);
    let object = Object::parse(&bytes).expect("an object");
    let programs = Some(object.programs().uses);
    let maps = ObjectMaps { programs, ..ObjectMaps::new("the object", object.maps) };
    let lock = observe(&[maps], &Config::default()).expect("the configuration names no map").lock;
    unmerged(&lock, &lock, &Levels::default())
}

#[test]
fn every_rule_finds_its_own_example() {
    let Some(pairs) = Pair::all() else { return };
    for Pair { rule, old, new } in &pairs {
        let found = match rule.effect.compares {
            Compares::Releases => compare(&lock(old), &as_locked(rule, new), &Levels::default()).findings,
            Compares::Objects => conflicts(old, new),
            Compares::Programs => {
                assert_eq!(counters(rule.example.old), [], "{}", rule.id);
                counters(rule.example.new)
            }
            // No change of a declaration shows it; see below.
            Compares::History => continue,
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
    let (mut differ, mut same) = (0, 0);
    for Pair { rule, old, new } in &pairs {
        let (old, new) = (lock(old), lock(new));
        for (name, before) in &old.maps {
            let Some(after) = new.maps.get(name) else { continue };
            let found = compare(&old, &new, &Levels::default());
            let found: Vec<_> = found.of_map(name).collect();
            if found.iter().any(|finding| finding.rule.effect.in_digest) {
                assert_ne!(before.def.digest(), after.def.digest(), "{}: {name}", rule.id);
                differ += 1;
            } else if !found.is_empty() {
                assert_eq!(before.def.digest(), after.def.digest(), "{}: {name}", rule.id);
                same += 1;
            }
        }
    }
    assert!(differ >= 20 && same >= 5, "{differ} digests differ, {same} are the same");
}

/// The level at which a rule must be decided on, and no other rule that its own level does not.
fn denying(rule: &'static Rule) -> Levels {
    let mut levels = Levels::default();
    levels.set(rule, Level::Deny);
    levels
}

#[test]
fn every_change_is_accepted_as_its_rule_says_and_as_nothing_else() {
    let Some(pairs) = Pair::all() else { return };
    let mut accepted = BTreeMap::new();
    for Pair { rule, old, new } in &pairs {
        // Accepted is a name by another function.
        if *rule == &rules::MAP_RENAMED {
            continue;
        }
        let (levels, old) = (denying(rule), lock(old));
        let observed = Observation { lock: lock(new), ..Observation::default() };
        let change = compare(&old, &observed.lock, &levels);
        let Some(finding) = change.findings.iter().find(|finding| finding.rule == *rule) else {
            assert_ne!(rule.effect.compares, Compares::Releases, "{}", rule.id);
            continue;
        };
        assert!(finding.is_break(), "{} is denied, and passes", rule.id);
        let map = finding.map.as_str();
        for answer in OnUpgrade::ALL {
            let what = format!("{} as {answer}", rule.id);
            let taken = accept(&old, &observed, map, answer, "for the test", &levels);
            if !answers(&change.of_map(map).collect::<Vec<_>>()).contains(&answer) {
                assert!(taken.is_err(), "{what} is taken, and its rules say it can't be");
                continue;
            }
            let taken = taken.unwrap_or_else(|error| panic!("{what}: {error}"));
            // At build and in a review, and on a node, which knows no levels.
            for levels in [&levels, &Levels::default()] {
                let now = compare(&old, &taken, levels);
                let open: Vec<_> = now.of_map(map).filter(|finding| finding.is_break()).collect();
                assert!(open.is_empty(), "{what} leaves {open:#?}");
                let verdict = now.maps.iter().find(|verdict| verdict.map == map).expect("its verdict");
                let fate = match answer {
                    _ if rule.effect.decision == Decision::Never => continue,
                    OnUpgrade::Reuse => Disposition::Reuse,
                    OnUpgrade::Migrate => Disposition::Migrate,
                    OnUpgrade::Swap => Disposition::Swap,
                    OnUpgrade::Drop => Disposition::Drop,
                    OnUpgrade::Refuse => Disposition::Refuse,
                };
                assert_eq!(verdict.disposition, fate, "{what}");
            }
            assert!(
                !compare(&taken, &observed.lock, &levels).has_breaks(),
                "{what}: the lock does not hold the objects"
            );
            let undone = undo(&taken, map).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(undone.maps[map].def, old.maps[map].def, "{what}, undone");
            assert!(compare(&undone, &observed.lock, &levels).has_breaks(), "{what}, undone, is green");
            accepted.entry(rule.id).or_insert(Vec::new()).push(answer);
        }
    }
    // In an example, another finding may rule an answer out; one at least is always left.
    let of_releases = rules::ALL.iter().filter(|rule| rule.effect.compares == Compares::Releases);
    for rule in of_releases.filter(|rule| **rule != &rules::MAP_RENAMED) {
        let of_rule = accepted.get(rule.id).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(of_rule.is_empty(), rule.effect.answers.is_empty(), "{}: {of_rule:?}", rule.id);
    }
}

#[test]
fn what_a_rule_does_does_not_contradict_itself() {
    for rule in rules::ALL {
        let effect = &rule.effect;
        let (id, takes) = (rule.id, |answer| effect.answers.contains(&answer));
        assert!(!effect.rules_out_reuse || !takes(OnUpgrade::Reuse), "{id}: the kernel refuses what can be accepted");
        assert!(!effect.rules_out_reuse || !effect.keeps_bytes, "{id}");
        // A node can refuse what it can tell. Of a map that is gone, nothing is left to be decided there.
        let is_told = (effect.in_digest || !effect.keeps_bytes) && !takes(OnUpgrade::Drop);
        assert_eq!(takes(OnUpgrade::Refuse), is_told && !effect.answers.is_empty(), "{id}");
        assert!(effect.answers.is_sorted(), "{id}: mildest first");
        assert!(effect.remedy.is_none() || effect.answers.is_empty(), "{id}: nobody sees its remedy");
        assert_eq!(
            effect.compares == Compares::Objects,
            rule.default_level == Level::Deny && effect.answers.is_empty(),
            "{id}"
        );
        if effect.decision == Decision::Never {
            assert_ne!(rule.default_level, Level::Deny, "{id} is denied, and nobody is asked");
        }
    }
}

/// A page names the answers that its rule takes, and no other.
#[test]
fn every_page_says_what_its_rule_does() {
    for rule in rules::ALL {
        let (id, page) = (rule.id, rule.explanation);
        let named = |answer: OnUpgrade| page.contains(&format!("`{answer}`"));
        let takes = |answer| rule.effect.answers.contains(&answer);
        for answer in [OnUpgrade::Migrate, OnUpgrade::Swap] {
            assert!(!named(answer) || takes(answer), "{id} names `{answer}`, which it does not take");
            let is_asked = rule.effect.decision == Decision::Always;
            assert!(!is_asked || named(answer) || !takes(answer), "{id} does not name `{answer}`, which it takes");
        }
        let never = page.contains("`reuse` is never right");
        assert_eq!(
            named(OnUpgrade::Reuse) && !never,
            named(OnUpgrade::Reuse) && takes(OnUpgrade::Reuse),
            "{id} and `reuse`"
        );
        if page.contains("nothing to decide") {
            assert!(matches!(rule.effect.decision, Decision::Never | Decision::IfDenied), "{id} does ask");
        }
        assert!(
            !rule.purpose.ends_with('.') && !rule.purpose.starts_with(char::is_uppercase),
            "{id}: {}",
            rule.purpose
        );
        let is_shown = rule.example.old != rule.example.new;
        assert_eq!(is_shown, rule.effect.compares != Compares::History, "{id}: both sides of the example are the same");
    }
}

#[test]
fn the_book_has_a_page_of_every_rule_and_of_no_other() {
    let book = fs::read_to_string(root().join("docs/rules.md")).expect("the book");
    let (_, pages) = book.split_once("\n## ").expect("a page");
    let pages: Vec<_> = pages.split("\n## ").collect();
    let ids: Vec<_> = pages.iter().map(|page| page.lines().next().unwrap_or_default()).collect();
    assert_eq!(ids, rules::ALL.iter().map(|rule| rule.id).collect::<Vec<_>>());
    for (rule, page) in rules::ALL.iter().zip(pages) {
        for part in [rule.purpose, rule.explanation.trim(), rule.example.old.trim(), rule.example.new.trim()] {
            assert!(page.contains(part), "the page of {} lacks:\n{part}", rule.id);
        }
    }
}

/// Every rule over every pair, in both directions, to be read by a person.
#[test]
fn every_rule_over_every_pair() {
    let Some(pairs) = Pair::all() else { return };
    let mut text = String::new();
    for Pair { rule, old, new } in &pairs {
        for (direction, from, to) in [("old -> new", old, new), ("new -> old", new, old)] {
            let mut found = findings(from, to);
            if *rule == &rules::MAP_RENAMED && direction == "old -> new" {
                found = compare(&lock(from), &as_locked(rule, to), &Levels::default()).findings;
            }
            if rule.effect.compares == Compares::Objects {
                found.extend(conflicts(from, to));
            }
            if rule.effect.compares == Compares::Programs && direction == "old -> new" {
                found.extend(counters(rule.example.new));
            }
            list(&mut text, &format!("{}: {direction}", rule.id), &found);
        }
    }
    insta::assert_snapshot!("every_rule_over_every_pair", text);
}

fn list(text: &mut String, title: &str, found: &[Finding]) {
    _ = writeln!(text, "{title}");
    for finding in found {
        _ = write!(text, "    {} {} [{}, {}]", finding.rule.id, finding.path(), finding.rule.tier, finding.level);
        if let Some(cause) = finding.cause() {
            _ = write!(text, ", a consequence of {cause}");
        }
        _ = writeln!(text, "\n        {}", finding.message());
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
    let lock = |epochs| Lock {
        maps: [("flows".to_owned(), LockedMap { epochs, ..LockedMap::new(now.clone()) })].into(),
        ..Lock::default()
    };
    let stale = |lock: &Lock| -> Vec<_> {
        compare(lock, lock, &Levels::default()).findings.iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(stale(&lock(vec![epoch(&before, &now)])), [""; 0], "it leads to today's definition");
    assert_eq!(stale(&lock(vec![epoch(&before, &elsewhere)])), ["stale-epoch"]);
    assert_eq!(stale(&lock(vec![epoch(&before, &elsewhere), epoch(&elsewhere, &now)])), [""; 0], "by way of another");
    assert_eq!(stale(&lock(vec![epoch(&before, &elsewhere), epoch(&before, &now)])), ["stale-epoch"]);

    // It is said, and accepts nothing.
    let released = Lock { maps: [("flows".to_owned(), LockedMap::new(before.clone()))].into(), ..Lock::default() };
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
        assert_eq!(has_flows, [true, *rule != &rules::MAP_RENAMED], "{}", rule.id);
    }
}
