//! What git makes of two branches that both changed the lock.
//!
//! `MAPLOCK_MERGES=1000 cargo test -p maplock-layout --test merges -- --nocapture` makes 1,000 merges, and tells how they ended.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use maplock_layout::config::Levels;
use maplock_layout::epochs::{accept, rename, update};
use maplock_layout::lock::{Gone, LockedMap, OnUpgrade};
use maplock_layout::map::MapDef;
use maplock_layout::{Lock, Observation, merge_three};
use support::{lock, map_of, observed};

/// Merges in an ordinary run of the tests.
const MERGES: usize = 100;

/// Maps of each lock.
const MAPS: usize = 20;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What C sources say of the maps of a project.
#[derive(Clone, Default)]
struct Source {
    maps: BTreeMap<String, SourceMap>,
    /// Members of the structs that several maps may use.
    shared: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, PartialEq)]
struct SourceMap {
    key: String,
    value: Vec<String>,
    capacity: u32,
    optional: bool,
}

const SHARED: [&str; 3] = ["flow_key", "addr", "stamp"];

impl Source {
    fn def(&self, name: &str) -> MapDef {
        let map = &self.maps[name];
        let shared: String = (self.shared.iter())
            .map(|(name, members)| format!("struct {name} {{ {} }};\n", members.join(" ")))
            .collect();
        let key = if self.shared.contains_key(&map.key) { format!("struct {}", map.key) } else { map.key.clone() };
        let mut def =
            map_of(&format!("{shared}{key}"), &format!("{shared}struct {name}_entry {{ {} }};", map.value.join(" ")));
        (def.name, def.max_entries) = (name.to_owned(), map.capacity);
        def
    }

    fn defs(&self) -> impl Iterator<Item = MapDef> {
        self.maps.keys().map(|name| self.def(name))
    }

    fn observed(&self) -> Observation {
        let mut observed = observed(self.defs());
        for (name, map) in &mut observed.lock.maps {
            map.optional = self.maps[name].optional;
        }
        observed
    }

    /// The sources of two branches together; `None` where they changed one line.
    fn together(base: &Self, ours: &Self, theirs: &Self) -> Option<Self> {
        fn one<'a, T: PartialEq>(was: &'a T, our: &'a T, their: &'a T) -> Option<&'a T> {
            if our == their || their == was { Some(our) } else { (our == was).then_some(their) }
        }
        let mut merged = Self::default();
        let names: BTreeSet<_> = [base, ours, theirs].into_iter().flat_map(|side| side.maps.keys()).collect();
        for name in names {
            let sides = [base, ours, theirs].map(|side| side.maps.get(name));
            let map = match sides {
                [Some(was), Some(our), Some(their)] => Some(SourceMap {
                    key: one(&was.key, &our.key, &their.key)?.clone(),
                    value: one(&was.value, &our.value, &their.value)?.clone(),
                    capacity: *one(&was.capacity, &our.capacity, &their.capacity)?,
                    optional: *one(&was.optional, &our.optional, &their.optional)?,
                }),
                [was, our, their] => one(&was, &our, &their)?.cloned(),
            };
            merged.maps.extend(map.map(|map| (name.clone(), map)));
        }
        for (name, was) in &base.shared {
            merged.shared.insert(name.clone(), one(was, &ours.shared[name], &theirs.shared[name])?.clone());
        }
        Some(merged)
    }

    fn new_name(&self, random: &mut Random) -> String {
        const FIRST: [&str; 12] =
            ["acl", "backend", "conn", "dns", "egress", "flow", "nat", "policy", "route", "svc", "tunnel", "xdp"];
        const SECOND: [&str; 8] = ["cache", "count", "map", "meta", "rules", "state", "stats", "table"];
        loop {
            let name = format!("{}_{}", random.of(&FIRST), random.of(&SECOND));
            if !self.maps.contains_key(&name) {
                return name;
            }
        }
    }

    fn any_map(&self, random: &mut Random) -> String {
        self.maps.keys().nth(random.below(self.maps.len())).unwrap().clone()
    }

    fn change_a_map(&mut self, random: &mut Random) {
        let name = self.any_map(random);
        let map = self.maps.get_mut(&name).unwrap();
        match random.below(8) {
            0 | 1 => {
                let number = 10 + random.below(80);
                map.value.push(member(number, random));
            }
            2 => {
                let (at, number) = (random.below(map.value.len()), 10 + random.below(80));
                map.value.insert(at, member(number, random));
            }
            3 => {
                let at = random.below(map.value.len());
                map.value[at] = map.value[at].replace("u32", "u64").replace("u16", "u32").replace("u8", "u16");
            }
            4 if map.value.len() > 1 => _ = map.value.remove(random.below(map.value.len())),
            5 => map.capacity /= 2,
            6 => map.optional ^= true,
            _ => map.capacity *= 2,
        }
    }

    fn new_map(random: &mut Random) -> SourceMap {
        let key = *random.of(&["u32", "u32", "u64", "flow_key", "flow_key", "addr"]);
        let value = (0..1 + random.below(6)).map(|n| member(n, random)).collect();
        SourceMap { key: key.to_owned(), value, capacity: 1 << (4 + random.below(12)), optional: false }
    }
}

/// A member called after where it was put first.
fn member(number: usize, random: &mut Random) -> String {
    let ty = *random.of(&["u8", "u16", "u32", "u64", "u64", "struct stamp"]);
    format!("{ty} m{number};")
}

/// A release: the sources, and the lock that was committed with them.
#[derive(Clone)]
struct Release {
    source: Source,
    lock: Lock,
    /// What was done since the release that the branch began at.
    steps: Vec<Step>,
}

/// What somebody did on a branch, so that it can be done again on another.
#[derive(Clone)]
enum Step {
    /// The sources changed, and the lock followed them: with the old name and the new one of a map, and what answers are drawn from.
    Sources { before: Box<Source>, after: Box<Source>, renamed: Option<(String, String)>, draw: u64 },
    /// The newest answer for a map got another reason.
    Reason(String),
}

/// What is answered for a map: the same, whatever else there is to answer.
fn answer(name: &str, draw: u64) -> (OnUpgrade, &'static str) {
    let random = &mut Random(name.bytes().fold(draw, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))));
    _ = random.below(2);
    let way = *random.of(&[OnUpgrade::Swap, OnUpgrade::Migrate, OnUpgrade::Refuse]);
    (way, *random.of(&["counters wrapped", "as agreed", "the daemon fills it again"]))
}

impl Release {
    fn first(random: &mut Random) -> Self {
        let mut source = Source::default();
        for name in SHARED {
            let members = (0..2 + random.below(3)).map(|n| format!("u{} {name}{n};", random.of(&[16, 32, 64])));
            source.shared.insert(name.to_owned(), members.collect());
        }
        for _ in 0..MAPS {
            source.maps.insert(source.new_name(random), Source::new_map(random));
        }
        let mut first = Self { lock: lock(source.defs()), source, steps: Vec::new() };
        for _ in 0..random.below(8) {
            let mut source = first.source.clone();
            source.change_a_map(random);
            first.goes_on(source, None, random);
        }
        first.steps.clear();
        first
    }

    /// What `cargo maplock` writes once the sources have changed. `renamed` is a map under its old name and its new one.
    fn follow(&mut self, renamed: Option<(&str, &str)>, draw: u64) {
        let levels = Levels::default();
        let observed = self.source.observed();
        let known: Vec<_> = self.lock.maps.keys().cloned().collect();
        for name in known.iter().filter(|name| !self.source.maps.contains_key(*name)) {
            let (way, reason) = (OnUpgrade::Drop, "nobody reads it");
            self.lock = match renamed {
                Some((old, new)) if old == name => {
                    rename(&self.lock, &observed, (old, new), None, "a better name", &levels)
                }
                _ => accept(&self.lock, &observed, name, way, reason, &levels),
            }
            .unwrap();
        }
        for (name, now) in &observed.lock.maps {
            // What did not change would be answered anew.
            if self.lock.maps.get(name).is_none_or(|known| known.same_definition(now)) {
                continue;
            }
            let (way, reason) = answer(name, draw);
            if let Ok(accepted) = accept(&self.lock, &observed, name, way, reason, &levels) {
                self.lock = accepted;
            }
        }
        self.lock = update(&self.lock, &observed, &levels).unwrap();
    }

    fn goes_on(&mut self, after: Source, renamed: Option<(String, String)>, random: &mut Random) {
        let draw = u64::try_from(random.below(1 << 30)).unwrap();
        let step = Step::Sources { before: self.source.clone().into(), after: after.into(), renamed, draw };
        assert!(self.does(&step), "on its own branch");
    }

    /// Does what was done on this branch or another; false where that changes a line that this one changed.
    fn does(&mut self, step: &Step) -> bool {
        match step {
            Step::Sources { before, after, renamed, draw } => {
                let Some(source) = Source::together(before, &self.source, after) else { return false };
                self.source = source;
                self.follow(renamed.as_ref().map(|(old, new)| (old.as_str(), new.as_str())), *draw);
            }
            Step::Reason(name) => {
                let Some(epoch) = self.lock.maps.get_mut(name).and_then(|map| map.epochs.last_mut()) else {
                    return false;
                };
                epoch.reason = "as everybody agreed".to_owned();
            }
        }
        self.steps.push(step.clone());
        true
    }

    fn change(&mut self, random: &mut Random) {
        let mut source = self.source.clone();
        match random.below(20) {
            0 | 1 => _ = source.maps.insert(source.new_name(random), Source::new_map(random)),
            2 => _ = source.maps.remove(&source.any_map(random)),
            3 => {
                let (old, new) = (source.any_map(random), source.new_name(random));
                let map = source.maps.remove(&old).unwrap();
                source.maps.insert(new.clone(), map);
                return self.goes_on(source, Some((old, new)), random);
            }
            4 => {
                // All maps that use it change.
                let name = *random.of(&SHARED);
                let number = 10 + random.below(80);
                source.shared.get_mut(name).unwrap().push(format!("u64 {name}{number};"));
            }
            5 => {
                let accepted = self.lock.maps.values().filter(|map| map.epochs.iter().any(|epoch| !epoch.is_bridge()));
                let accepted: Vec<_> = accepted.map(|map| map.def.name.clone()).collect();
                if !accepted.is_empty() {
                    assert!(self.does(&Step::Reason(random.of(&accepted).clone())));
                }
                return;
            }
            _ => source.change_a_map(random),
        }
        self.goes_on(source, None, random);
    }

    /// A branch of one to three changes.
    fn branch(&self, random: &mut Random) -> Self {
        let mut branch = self.clone();
        branch.steps.clear();
        for _ in 0..=random.below(3) {
            branch.change(random);
        }
        branch
    }
}

/// A map as a lock has it: in use, or gone.
#[derive(Clone, PartialEq)]
enum Entry {
    Map(LockedMap),
    Gone(Gone),
}

type Entries = BTreeMap<(bool, String), Entry>;

fn entries(lock: &Lock) -> Entries {
    let maps = lock.maps.iter().map(|(name, map)| ((false, name.clone()), Entry::Map(map.clone())));
    let gone = lock.gone.iter().map(|(name, gone)| ((true, name.clone()), Entry::Gone(gone.clone())));
    maps.chain(gone).collect()
}

fn touched(base: &Entries, branch: &Entries) -> BTreeSet<String> {
    let names = base.keys().chain(branch.keys());
    names.filter(|name| base.get(*name) != branch.get(*name)).map(|(_, name)| name.clone()).collect()
}

/// What both branches mean together; `None` where they say two things of one map.
fn together(base: &Entries, ours: &Entries, theirs: &Entries) -> Option<Entries> {
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let mut merged = Entries::new();
    for name in names {
        let (was, our, their) = (base.get(name), ours.get(name), theirs.get(name));
        let entry = if our == their || their == was {
            our
        } else if our == was {
            their
        } else {
            return None;
        };
        merged.extend(entry.map(|entry| (name.clone(), entry.clone())));
    }
    Some(merged)
}

/// A repository with the three sides of each merge.
struct Repository(PathBuf);

impl Repository {
    fn git(&self) -> Command {
        let mut git = Command::new("git");
        git.current_dir(&self.0).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.org");
        }
        git
    }

    fn run(&self, args: &[&str]) -> Output {
        self.git().args(args).output().expect("git is installed")
    }

    fn new(dir: &Path, merges: &[[String; 3]]) -> Self {
        _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).unwrap();
        let repository = Self(dir.to_owned());
        assert!(repository.run(&["init", "-q"]).status.success());
        let mut import = String::new();
        for (at, texts) in merges.iter().enumerate() {
            for (branch, text) in ["base", "ours", "theirs"].iter().zip(texts) {
                _ = write!(import, "commit refs/heads/{branch}{at}\ncommitter a <a@example.org> 0 +0000\ndata 1\nx\n");
                if *branch != "base" {
                    _ = writeln!(import, "from refs/heads/base{at}");
                }
                _ = write!(import, "M 100644 inline maps.lock\ndata {}\n{text}\n", text.len());
            }
        }
        let mut child = repository.git().args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(import.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        repository
    }

    /// The text in which `git merge` ends; `None` where it ends in a conflict.
    fn merge(&self, at: usize, options: &[&str]) -> Option<String> {
        let checkout = self.run(&["checkout", "-q", "-f", "--detach", &format!("ours{at}")]);
        assert!(checkout.status.success(), "{}", String::from_utf8_lossy(&checkout.stderr));
        let theirs = format!("theirs{at}");
        let merge = self.run(&[&["merge", "-q", "--no-edit"], options, &[&theirs]].concat());
        let text = fs::read_to_string(self.0.join("maps.lock")).unwrap();
        assert_eq!(merge.status.success(), !text.contains("<<<<<<<"), "{}", String::from_utf8_lossy(&merge.stdout));
        merge.status.success().then_some(text)
    }
}

#[derive(Debug, Default)]
struct Ends {
    /// Clean, and what both branches mean.
    right: usize,
    /// Of these, how many `cargo maplock update` would write otherwise.
    untidy: usize,
    conflicts: usize,
    /// Clean, and refused by whoever reads it.
    seen: usize,
    /// Clean, wrong, and taken.
    unseen: Vec<String>,
}

impl Ends {
    fn all(&self) -> usize {
        self.right + self.conflicts + self.seen + self.unseen.len()
    }

    fn add(&mut self, merged: Option<String>, right: Option<&Entries>, name: &str) {
        let Some(text) = merged else {
            self.conflicts += 1;
            return;
        };
        match Lock::parse(&text) {
            Err(_) => self.seen += 1,
            Ok(lock) if right == Some(&entries(&lock)) => {
                self.right += 1;
                self.untidy += usize::from(lock.to_string() != text);
            }
            Ok(_) => self.unseen.push(name.to_owned()),
        }
    }
}

#[test]
fn git_merges_locks_right_or_somebody_sees_that_it_did_not() {
    let count = std::env::var("MAPLOCK_MERGES").map_or(MERGES, |count| count.parse().expect("a number of merges"));
    let read = |release: &Release| {
        let text = release.lock.to_string();
        (entries(&Lock::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))), text)
    };
    let (mut sides, mut texts) = (Vec::new(), Vec::new());
    for at in 0..count {
        let random = &mut Random(u64::try_from(at).unwrap());
        let base = Release::first(random);
        let (ours, theirs) = (read(&base.branch(random)), read(&base.branch(random)));
        let base = read(&base);
        texts.push([base.1, ours.1, theirs.1]);
        sides.push([base.0, ours.0, theirs.0]);
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("merges-{}", std::process::id()));
    let repository = Repository::new(&dir, &texts);
    let (mut apart, mut same) = (Ends::default(), Ends::default());
    for (at, [base, ours, theirs]) in sides.iter().enumerate() {
        let right = together(base, ours, theirs);
        let ends = if touched(base, ours).is_disjoint(&touched(base, theirs)) { &mut apart } else { &mut same };
        // The way of today's git, and that of older ones.
        for options in [&[] as &[&str], &["-X", "diff-algorithm=myers"]] {
            ends.add(repository.merge(at, options), right.as_ref(), &format!("{at} {options:?}"));
        }
    }
    println!("different maps: {apart:?}\nsome map in common: {same:?}");
    let unseen: Vec<_> = apart.unseen.iter().chain(&same.unseen).collect();
    assert!(unseen.is_empty(), "see {}: {unseen:?}", dir.display());
    assert!(apart.all() >= count / 2, "{apart:?}");
    assert!((apart.conflicts + apart.seen) * 20 < apart.all(), "{apart:?}");
    fs::remove_dir_all(dir).unwrap();
}

/// Merges of the tool's own, in an ordinary run of the tests: in memory, so that there may be many.
const OWN_MERGES: usize = 60;

/// What became of merges that the tool made itself.
#[derive(Debug, Default)]
struct Own {
    clean: usize,
    conflicts: usize,
    /// Of the clean ones, twice each: what one branch did was done again on the other, and is the same.
    again: usize,
    /// Of the clean ones: to the byte, the one way or the other.
    bytes: usize,
    /// A change on the way met one of the other branch, and was taken back later.
    not_again: usize,
}

/// True of two that are one but for the capacity that a map had before it changed: which of two changes came first tells that.
fn same_but_for_room(one: &Entry, other: &Entry) -> bool {
    let apart = |entry: &Entry| {
        let mut entry = entry.clone();
        if let Entry::Map(map) = &mut entry {
            map.epochs.iter_mut().for_each(|epoch| epoch.previous.max_entries = 0);
        }
        entry
    };
    apart(one) == apart(other)
}

#[test]
fn the_tool_merges_branches_that_change_different_maps_and_is_never_wrong() {
    let (mut apart, mut same, mut untold) = (Own::default(), Own::default(), 0);
    let count = std::env::var("MAPLOCK_MERGES").map_or(OWN_MERGES, |count| count.parse().expect("a number of merges"));
    for at in 0..count {
        let random = &mut Random(u64::try_from(at).unwrap());
        let base = Release::first(random);
        let (ours, theirs) = (base.branch(random), base.branch(random));
        // As they are read from files.
        let [was, our, their] =
            [&base, &ours, &theirs].map(|release| Lock::parse(&release.lock.to_string()).expect("a lock"));
        let merged = merge_three(&was, &our, &their);
        let (was, our, their) = (entries(&was), entries(&our), entries(&their));
        // A struct that one side changed, and that no map of its lock has: the lock can't tell, and the build does.
        let texts = [&base, &ours, &theirs].map(|release| release.lock.to_string());
        let is_untold = |name: &&str| {
            let has = |side: usize| texts[side].contains(&format!("[type.\"struct {name}\"]"));
            let changed = |side: &Release| side.source.shared[*name] != base.source.shared[*name];
            changed(&ours) && !(has(0) && has(1)) || changed(&theirs) && !(has(0) && has(2))
        };
        if SHARED.iter().any(is_untold) {
            untold += 1;
            continue;
        }
        let source = Source::together(&base.source, &ours.source, &theirs.source);
        // A map that is what neither side has, since one changed a struct that the other put into it: both touched it.
        let made_of_both = |source: &Source| {
            let old = base
                .source
                .maps
                .keys()
                .filter(|name| [source, &ours.source, &theirs.source].iter().all(|of| of.maps.contains_key(*name)));
            let made = old.filter(|name| {
                let [both, our, their] = [source, &ours.source, &theirs.source].map(|of| LockedMap::new(of.def(name)));
                !both.same_definition(&our) && !both.same_definition(&their)
            });
            made.count() > 0
        };
        let is_apart =
            touched(&was, &our).is_disjoint(&touched(&was, &their)) && !source.as_ref().is_some_and(made_of_both);
        let ends = if is_apart { &mut apart } else { &mut same };
        if !merged.conflicts.is_empty() {
            ends.conflicts += 1;
            assert!(!is_apart, "{at}: {:?}", merged.conflicts);
            continue;
        }
        ends.clean += 1;
        let text = merged.lock.to_string();
        assert_eq!(Lock::parse(&text).as_ref(), Ok(&merged.lock), "{at}");
        // The oracle: what the tool would write from the sources of both is what is there.
        let source = source.unwrap_or_else(|| panic!("{at}: the sources are in conflict, and the lock is not"));
        let updated = update(&merged.lock, &source.observed(), &Levels::default());
        let updated = updated.unwrap_or_else(|breaks| {
            let found: Vec<_> =
                breaks.findings.iter().map(|found| format!("{}: {}", found.map, found.message())).collect();
            let shared = [&base, &ours, &theirs].map(|side| format!("{:?}", side.source.shared));
            panic!("{at}: {found:#?}\n{shared:#?}\n{text}\n----\n{}\n----\n{}", ours.lock, theirs.lock)
        });
        assert_eq!(updated.to_string(), text, "{at}");
        // And each answer that a branch gave is there, in the place that it had.
        for (name, entry) in entries(&merged.lock) {
            let epochs = |entry: Option<&Entry>| match entry {
                Some(Entry::Map(map)) => map.epochs.clone(),
                Some(Entry::Gone(gone)) => gone.epochs.clone(),
                None => Vec::new(),
            };
            let side = if was.get(&name) == our.get(&name) { &their } else { &our };
            let (has, other) = (epochs(Some(&entry)), if side == &our { &their } else { &our });
            assert!(has == epochs(side.get(&name)) || has == epochs(other.get(&name)), "{at}: {name:?}");
        }
        // The other oracle: what one branch did, done again on the other, each change with its `accept` and `update`.
        let mut bytes = 0;
        for (mut onto, steps) in [(ours.clone(), &theirs.steps), (theirs.clone(), &ours.steps)] {
            if !steps.iter().all(|step| onto.does(step)) {
                ends.not_again += 1;
                continue;
            }
            ends.again += 1;
            bytes += usize::from(onto.lock.to_string() == text);
            // A map that is new on the branch, and then got another type of the other's, has an epoch from what no release had.
            let was_new = |name: &(bool, String), again: &Entry, merged: &Entry| match (again, merged) {
                (Entry::Map(again), Entry::Map(merged)) => {
                    !was.contains_key(name) && merged.epochs.is_empty() && again.same_definition(merged)
                }
                _ => false,
            };
            let (again, merged) = (entries(&onto.lock), entries(&merged.lock));
            assert!(again.keys().eq(merged.keys()), "{at}");
            for (name, entry) in &again {
                let is_it = same_but_for_room(entry, &merged[name]) || was_new(name, entry, &merged[name]);
                assert!(is_it, "{at}: {name:?}");
            }
        }
        ends.bytes += usize::from(bytes > 0);
    }
    println!("different maps: {apart:?}\nsome map in common: {same:?}\na struct that no lock has: {untold}");
    assert_eq!(apart.conflicts, 0);
    assert!(untold * 20 <= count && apart.clean >= count / 2 && apart.bytes * 100 >= apart.clean * 99, "{apart:?}");
}

#[test]
fn two_maps_that_go_on_with_the_entries_of_one_are_a_conflict() {
    let named = |name: &str| MapDef { name: name.to_owned(), ..map_of("u32", "u64") };
    let base = lock([named("flows"), named("other")]);
    let renamed = |new: &str| {
        let observed = observed([named(new), named("other")]);
        rename(&base, &observed, ("flows", new), None, "a better name", &Levels::default()).unwrap()
    };
    let (ours, theirs) = (renamed("flow_table"), renamed("flow_cache"));
    let merged = merge_three(&base, &ours, &theirs);
    assert_eq!(merged.conflicts, BTreeSet::from(["flow_cache".to_owned(), "flow_table".to_owned()]));
    // Given up on one side, and under another name on the other.
    let gone = accept(&base, &observed([named("other")]), "flows", OnUpgrade::Drop, "no use", &Levels::default());
    let merged = merge_three(&base, &gone.unwrap(), &theirs);
    assert_eq!(merged.conflicts, BTreeSet::from(["flow_cache".to_owned(), "flows".to_owned()]));
    // One side alone.
    let merged = merge_three(&base, &base, &theirs);
    assert_eq!((merged.lock, merged.conflicts.len()), (theirs, 0));
}

#[test]
fn more_room_goes_together_with_a_change_of_the_layout() {
    let def = |value: &str, max_entries: u32| MapDef { max_entries, ..map_of("u32", value) };
    let base = lock([def("struct v { u32 n; };", 64)]);
    let name = base.maps.keys().next().unwrap().clone();
    let grown = update(&base, &observed([def("struct v { u32 n; };", 128)]), &Levels::default()).unwrap();
    let changed = observed([def("struct v { u64 n; };", 64)]);
    let theirs = accept(&base, &changed, &name, OnUpgrade::Migrate, "it wrapped", &Levels::default()).unwrap();
    let merged = merge_three(&base, &grown, &theirs);
    assert!(merged.conflicts.is_empty());
    let map = &merged.lock.maps[&name];
    assert_eq!((map.def.max_entries, map.epochs.len(), &map.epochs[0].reason[..]), (128, 1, "it wrapped"));
    // Two answers to one change.
    let ours = accept(&base, &changed, &name, OnUpgrade::Swap, "no matter", &Levels::default()).unwrap();
    assert_eq!(merge_three(&base, &ours, &theirs).conflicts, BTreeSet::from([name]));
}

#[test]
fn a_struct_that_one_side_changed_and_the_other_put_into_a_map_is_a_conflict() {
    let stamp = |members: &str| format!("struct stamp {{ {members} }};\n");
    let (was, now) = (stamp("u64 at;"), stamp("u64 at; u64 until;"));
    let def = |name: &str, stamp: &str, members: &str| MapDef {
        name: name.to_owned(),
        ..map_of("u32", &format!("{stamp}struct {name}_entry {{ {members} }};"))
    };
    let has = |stamp: &str| def("has", stamp, "struct stamp s;");
    let base = lock([has(&was), def("gets", &was, "u64 n;")]);
    let accepted = |name: &str, defs: [MapDef; 2]| {
        accept(&base, &observed(defs), name, OnUpgrade::Migrate, "as agreed", &Levels::default()).unwrap()
    };
    let ours = accepted("gets", [has(&was), def("gets", &was, "u64 n; struct stamp s;")]);
    let theirs = accepted("has", [has(&now), def("gets", &now, "u64 n;")]);
    // What ours accepted is no more what the sources of both make.
    let conflicts = |ours, theirs| merge_three(&base, ours, theirs).conflicts;
    assert_eq!(conflicts(&ours, &theirs), BTreeSet::from(["gets".to_owned()]));
    assert_eq!(conflicts(&theirs, &ours), BTreeSet::from(["gets".to_owned()]));
}

/// Lines that a diff of two locks adds, and those that it takes away.
fn diff_of(old: &Lock, new: &Lock, name: &str) -> (usize, usize) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let texts = [old.to_string(), new.to_string(), new.to_string()];
    let repository = Repository::new(&dir, &[texts]);
    let output = repository.run(&["diff", "--numstat", "base0", "ours0"]);
    fs::remove_dir_all(dir).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<usize> = text.split('\t').take(2).map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

#[test]
fn accepting_one_added_member_changes_ten_lines_of_the_lock() {
    const KEY: &str = "struct flow_key { u32 from; u32 to; };";
    let others = ["a", "z"].map(|name| MapDef { name: name.to_owned(), ..map_of(KEY, "struct other { u64 n; };") });
    let value = |more: &str| {
        let mut def = map_of(
            KEY,
            &format!("struct seen {{ u64 first; u64 last; }}; struct v {{ struct seen seen; u64 n; {more} }};"),
        );
        def.name = "m".to_owned();
        def
    };
    let old = lock(others.iter().cloned().chain([value("")]));
    let observed = observed(others.iter().cloned().chain([value("u64 errors;")]));
    let new = accept(&old, &observed, "m", OnUpgrade::Migrate, "errors are counted", &Levels::default()).unwrap();
    let (added, removed) = diff_of(&old, &new, "one-member");
    assert!(added + removed <= 10, "{added} lines more, {removed} fewer:\n{new}");
}
