//! Maps that go on under another name, maps that are given up, and names that come back.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::config::Levels;
use maplock_layout::conversion::Conversion;
use maplock_layout::epochs::{EpochError, accept, as_built, convert, rename, undo, update};
use maplock_layout::identity::{Identities, why_no_rename};
use maplock_layout::lock::OnUpgrade::{Drop, Migrate, Refuse, Reuse, Swap};
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map::MapType;
use maplock_layout::{Disposition, Lock, MapDef, answers};
use support::{diff, lines, lock, map, observed};

const FLOW: &str = "struct flow { u64 bytes; u32 drops; u32 flags; };";
const LARGER: &str = "struct flow { u64 bytes; u32 drops; u32 flags; u64 seen; };";

fn named(name: &str, value: &str) -> MapDef {
    MapDef { name: name.to_owned(), ..map(value) }
}

fn flows(name: &str) -> MapDef {
    named(name, FLOW)
}

fn levels() -> Levels {
    Levels::default()
}

/// The lock in which `new` is `old` under another name.
fn renamed(before: &Lock, new: MapDef, old: &str, on_upgrade: Option<OnUpgrade>) -> Result<Lock, EpochError> {
    let name = new.name.clone();
    let rest =
        before.maps.values().filter(|map| map.def.name != old && map.def.name != name).map(|map| map.def.clone());
    let now = observed(rest.chain([new]).collect::<Vec<_>>());
    rename(before, &now, (old, &name), on_upgrade, "a better name", &levels())
}

fn given_up(before: &Lock, name: &str) -> Lock {
    let rest = before.maps.values().filter(|map| map.def.name != name).map(|map| map.def.clone());
    let now = observed(rest.collect::<Vec<_>>());
    accept(before, &now, name, Drop, "nobody reads it", &levels()).unwrap()
}

fn dispositions(old: &Lock, new: &Lock) -> Vec<(String, Disposition)> {
    diff(old, new).maps.into_iter().map(|verdict| (verdict.map, verdict.disposition)).collect()
}

/// As it is after it was written and read.
fn read(lock: &Lock) -> Lock {
    let again = Lock::parse(&lock.to_string()).unwrap();
    assert_eq!(again.to_string(), lock.to_string());
    again
}

#[test]
fn a_map_under_another_name_is_one_map() {
    let old = lock([flows("flows")]);
    let new = renamed(&old, flows("flow_table"), "flows", None).unwrap();
    let map = &new.maps["flow_table"];
    assert_eq!((map.renamed_from.as_slice(), map.epochs.len()), (["flows".to_owned()].as_slice(), 1));
    assert_eq!(
        (map.epochs[0].on_upgrade, map.epochs[0].rules.as_slice()),
        (Reuse, ["map-renamed".to_owned()].as_slice())
    );
    for new in [&new, &read(&new)] {
        let found = diff(&old, new);
        assert_eq!(lines(&found), ["map-renamed flow_table: flows -> flow_table"]);
        assert_eq!((found.findings[0].accepted, found.has_breaks()), (Some(Reuse), false));
        assert_eq!(dispositions(&old, new), [("flow_table".to_owned(), Disposition::Reuse)]);
        assert_eq!(found.findings[0].message(), "map `flow_table` was called `flows`");
        // The objects say nothing of names, and the lock goes on.
        let objects = observed([flows("flow_table")]);
        assert_eq!(lines(&diff(new, &objects.lock)), [""; 0]);
        assert_eq!(update(new, &objects, &levels()).unwrap().to_string(), new.to_string());
        assert_eq!(as_built(new, &objects.lock, &levels()), *new);
    }
}

#[test]
fn a_map_that_grows_as_it_is_renamed_needs_no_other_answer() {
    let old = lock([flows("flows")]);
    let larger = MapDef { max_entries: 4096, ..flows("flow_table") };
    let new = renamed(&old, larger, "flows", None).unwrap();
    assert_eq!(dispositions(&old, &new), [("flow_table".to_owned(), Disposition::Grow)]);
    assert!(!diff(&old, &new).has_breaks());
}

#[test]
fn what_else_changed_is_asked_for_as_ever() {
    let old = lock([flows("flows")]);
    let other = named("flow_table", LARGER);
    let asked = renamed(&old, other.clone(), "flows", None).unwrap_err();
    assert_eq!(
        asked.to_string(),
        "map `flow_table` changed more than its name: `seen` was added; say what nodes do with the entries: --on-upgrade \
         `migrate` or `swap` or `refuse`"
    );
    assert!(renamed(&old, other.clone(), "flows", Some(Reuse)).is_err(), "the bytes are others");
    for (way, disposition) in
        [(Migrate, Disposition::Migrate), (Swap, Disposition::Swap), (Refuse, Disposition::Refuse)]
    {
        let new = renamed(&old, other.clone(), "flows", Some(way)).unwrap();
        let new = read(&convert(&new, "flow_table", None).or_else(|_| answered(&new)).unwrap());
        assert_eq!(dispositions(&old, &new), [("flow_table".to_owned(), disposition)]);
        assert!(!diff(&old, &new).has_breaks());
        if way == Migrate {
            let conversion = Conversion::lead(&new.maps["flow_table"], old.maps["flows"].def.digest()).unwrap();
            assert_eq!(conversion.legs.len(), 1);
        }
        // Another answer to the same.
        let now = observed([other.clone()]);
        let again = rename(&new, &now, ("flows", "flow_table"), Some(Swap), "another reason", &levels()).unwrap();
        assert_eq!((again.maps["flow_table"].epochs.len(), again.maps["flow_table"].epochs[0].on_upgrade), (1, Swap));
    }
    // Where nothing else changed, nothing else can be said.
    let said = renamed(&old, flows("flow_table"), "flows", Some(Swap)).unwrap_err();
    assert!(said.to_string().contains("`reuse` keeps its entries"), "{said}");
}

fn answered(new: &Lock) -> Result<Lock, EpochError> {
    let mut answers = maplock_layout::conversion::Answers::default();
    answers.default.insert("value.seen".to_owned(), "0".to_owned());
    convert(new, "flow_table", Some(&answers))
}

#[test]
fn over_several_names_and_layouts_each_older_release_finds_its_map() {
    let first = lock([flows("a")]);
    let second = renamed(&first, flows("b"), "a", None).unwrap();
    let third = renamed(&second, named("c", LARGER), "b", Some(Swap)).unwrap();
    let third = read(&third);
    assert_eq!(third.maps["c"].renamed_from, ["b", "a"]);
    for old in [&first, &second] {
        assert_eq!(dispositions(old, &third), [("c".to_owned(), Disposition::Swap)]);
        assert!(!diff(old, &third).has_breaks(), "{:#?}", diff(old, &third));
    }
    // Back to the first name.
    let fourth = renamed(&third, named("a", LARGER), "c", None).unwrap();
    assert_eq!(fourth.maps["a"].renamed_from, ["c", "b", "a"]);
    for old in [&first, &second, &third] {
        assert!(!diff(old, &fourth).has_breaks(), "{:#?}", diff(old, &fourth));
        assert_eq!(dispositions(old, &fourth).len(), 1);
    }
    // Each step can be taken back.
    let undone = undo(&fourth, "a").unwrap();
    assert_eq!(undone, third);
    assert_eq!(undo(&third, "c").unwrap(), second);
    assert_eq!(undo(&second, "b").unwrap(), first);
}

#[test]
fn maps_that_pass_their_names_on_in_one_release_are_told_apart() {
    let old = lock([flows("a"), flows("b")]);
    // b becomes c, and a becomes b: in this order, for a name has to be free.
    let objects = observed([flows("b"), flows("c")]);
    assert!(why_no_rename(&old, &objects.lock, "a", "b").is_some(), "the lock has a map of that name");
    let stays = why_no_rename(&old, &objects.lock, "b", "c").unwrap();
    assert_eq!(stays, "`b` is still there");
    // One release after the other it can be, and a node may leave one out.
    let middle = renamed(&old, flows("c"), "b", None).unwrap();
    let new = renamed(&middle, flows("b"), "a", None).unwrap();
    let of = |lock: &Lock, map: &str, there: &[&str]| {
        Identities::find(lock, |name| there.contains(&name)).before(map).map(str::to_owned)
    };
    assert_eq!((of(&new, "c", &["a", "b"]), of(&new, "b", &["a", "b"])), (Some("b".into()), Some("a".into())));
    assert_eq!((of(&new, "c", &["a", "c"]), of(&new, "b", &["a", "c"])), (Some("c".into()), Some("a".into())));
    assert_eq!((of(&new, "c", &["b", "c"]), of(&new, "b", &["b", "c"])), (Some("c".into()), Some("b".into())));
    assert!(!diff(&old, &new).has_breaks());
    assert_eq!(diff(&old, &new).maps.len(), 2);
}

#[test]
fn names_are_not_exchanged() {
    let old = lock([flows("a"), flows("b")]);
    let objects = observed([flows("a"), flows("b")]);
    assert!(rename(&old, &objects, ("a", "b"), None, "exchanged", &levels()).is_err());
    // Nor by way of a third.
    let one = renamed(&old, flows("t"), "a", None).unwrap();
    let two = renamed(&one, flows("a"), "b", None).unwrap();
    let error = renamed(&two, flows("b"), "t", None).unwrap_err();
    assert!(error.to_string().contains("a node could not tell the two apart"), "{error}");
}

#[test]
fn a_name_that_comes_back_is_another_map() {
    let old = lock([flows("flows")]);
    let middle = renamed(&old, flows("flow_table"), "flows", None).unwrap();
    // A new map of the old name, of another layout and of the same.
    for value in [LARGER, FLOW] {
        let objects = observed([flows("flow_table"), named("flows", value)]);
        let new = read(&update(&middle, &objects, &levels()).unwrap());
        assert!(!diff(&old, &new).has_breaks());
        let [table, back] = ["flow_table", "flows"].map(|name| name.to_owned());
        assert_eq!(
            dispositions(&old, &new),
            [(table.clone(), Disposition::Reuse), (back.clone(), Disposition::Create)]
        );
        assert_eq!(
            dispositions(&middle, &new),
            [(table.clone(), Disposition::Reuse), (back.clone(), Disposition::Create)]
        );
        assert_eq!(dispositions(&new, &new), [(table, Disposition::Reuse), (back, Disposition::Reuse)]);
        // It can't get a third name: a node with one map called `flows` has one of two.
        let error = renamed(&new, named("other", value), "flows", None).unwrap_err();
        assert!(error.to_string().contains("earlier releases pinned `flow_table` as `flows`"), "{error}");
    }
}

#[test]
fn a_map_that_is_gone_is_a_break_until_somebody_gives_its_entries_up() {
    let (old, empty) = (lock([flows("flows")]), observed([]));
    let found = diff(&old, &empty.lock);
    assert!(found.has_breaks());
    assert_eq!(answers(&found.findings.iter().collect::<Vec<_>>()), [Drop]);
    assert!(update(&old, &empty, &levels()).is_err(), "the lock does not follow by itself");
    // A level silences the build, and decides nothing.
    let mut allowed = levels();
    allowed.set(&maplock_layout::rules::MAP_REMOVED, maplock_layout::rules::Level::Allow);
    assert!(update(&old, &empty, &allowed).is_err());
    for way in [Reuse, Migrate, Swap, Refuse] {
        let error = accept(&old, &empty, "flows", way, "no", &levels()).unwrap_err();
        assert_eq!(error.to_string(), format!("map `flows` is gone, and `{way}` is no answer to that; choose `drop`"));
    }
    let new = given_up(&old, "flows");
    for new in [&new, &read(&new)] {
        assert!(new.maps.is_empty() && new.gone["flows"].epochs.len() == 1);
        let found = diff(&old, new);
        assert_eq!((found.has_breaks(), found.findings[0].accepted), (false, Some(Drop)));
        let verdict = &found.maps[0];
        assert_eq!((verdict.disposition, verdict.loses_entries()), (Disposition::Drop, true));
        assert_eq!(verdict.reason.as_deref(), Some("nobody reads it"));
        assert_eq!(update(new, &empty, &levels()).unwrap(), *new, "it stays for good");
        assert_eq!(as_built(new, &empty.lock, &levels()), *new);
        assert_eq!(undo(new, "flows").unwrap(), old);
    }
    let again = accept(&new, &empty, "flows", Drop, "really", &levels()).unwrap();
    assert_eq!((again.gone["flows"].epochs.len(), again.gone["flows"].epochs[0].reason.as_str()), (1, "really"));
    // Another layout under that name was never given up.
    let other = lock([named("flows", LARGER)]);
    assert!(diff(&other, &new).has_breaks());
}

#[test]
fn a_map_is_given_up_with_its_names_and_its_history() {
    let first = lock([flows("a")]);
    let second = renamed(&first, named("b", LARGER), "a", Some(Swap)).unwrap();
    let third = read(&given_up(&second, "b"));
    assert_eq!(
        (third.gone["b"].renamed_from.as_slice(), third.gone["b"].epochs.len()),
        (["a".to_owned()].as_slice(), 2)
    );
    for (old, name) in [(&first, "a"), (&second, "b")] {
        let found = diff(old, &third);
        assert!(!found.has_breaks(), "{found:#?}");
        assert_eq!(
            found.maps.iter().map(|verdict| (verdict.map.as_str(), verdict.disposition)).collect::<Vec<_>>(),
            [(name, Disposition::Drop)]
        );
    }
    assert_eq!(undo(&third, "b").unwrap(), second);
    // What was to be decided on a node is to be decided there still.
    let refusing = renamed(&first, named("b", LARGER), "a", Some(Refuse)).unwrap();
    let gone = given_up(&refusing, "b");
    assert_eq!(dispositions(&first, &gone), [("a".to_owned(), Disposition::Refuse)]);
    assert_eq!(dispositions(&refusing, &gone), [("b".to_owned(), Disposition::Drop)]);
}

#[test]
fn a_map_that_was_given_up_and_comes_back_goes_on_where_it_is_the_same_and_starts_empty_where_not() {
    let old = lock([flows("flows")]);
    let gone = given_up(&old, "flows");
    for (back, disposition) in [
        (flows("flows"), Disposition::Reuse),
        (MapDef { max_entries: 4096, ..flows("flows") }, Disposition::Grow),
        (MapDef { max_entries: 16, ..flows("flows") }, Disposition::Swap),
        (named("flows", LARGER), Disposition::Swap),
        (MapDef { map_type: MapType::LRU_HASH, ..flows("flows") }, Disposition::Swap),
    ] {
        let objects = observed([back.clone()]);
        let new = read(&update(&gone, &objects, &levels()).unwrap());
        assert!(new.gone.is_empty(), "one name, one history");
        assert_eq!(as_built(&gone, &objects.lock, &levels()).maps, new.maps, "also before the lock is written");
        let found = diff(&old, &new);
        assert!(!found.has_breaks(), "{found:#?}");
        assert_eq!(found.maps[0].disposition, disposition);
        if disposition == Disposition::Swap {
            assert_eq!(found.maps[0].reason.as_deref(), Some("nobody reads it"));
        }
        assert_eq!(dispositions(&gone, &new), [("flows".to_owned(), Disposition::Create)]);
        // Given up once more: both have an answer.
        let twice = read(&given_up(&new, "flows"));
        for old in [&old, &new] {
            assert!(!diff(old, &twice).has_breaks());
            assert_eq!(dispositions(old, &twice), [("flows".to_owned(), Disposition::Drop)]);
        }
    }
}

#[test]
fn nothing_is_renamed_onto_or_from_what_was_given_up() {
    let gone = given_up(&lock([flows("flows"), flows("old")]), "old");
    let error = renamed(&gone, flows("old"), "flows", None).unwrap_err();
    assert!(error.to_string().contains("`old` was given up before, and a node may still have it"), "{error}");
    let gone = given_up(&lock([flows("flows")]), "flows");
    let error = rename(&gone, &observed([flows("new")]), ("flows", "new"), None, "because", &levels()).unwrap_err();
    assert!(error.to_string().ends_with("take that back first: `cargo maplock accept flows --undo`"), "{error}");
    let back = undo(&gone, "flows").unwrap();
    assert!(rename(&back, &observed([flows("new")]), ("flows", "new"), None, "because", &levels()).is_ok());
}

#[test]
fn an_answer_to_what_is_no_change_says_what_it_is() {
    let (old, new) = (lock([flows("flows")]), observed([flows("flow_table")]));
    let answer = |map: &str, way| accept(&old, &new, map, way, "because", &levels()).unwrap_err().to_string();
    assert_eq!(
        answer("flow_table", Migrate),
        "map `flow_table` is new; if it is `flows` under another name, say so with `--renamed-from flows`"
    );
    assert_eq!(
        answer("flows", Migrate),
        "map `flows` is gone, and `migrate` is no answer to that; choose `drop`, or accept `flow_table` with \
         `--renamed-from flows` if that is its new name"
    );
    assert_eq!(
        answer("flow_tabel", Drop),
        "no map `flow_tabel` in the lock or the objects; did you mean `flow_table`?"
    );
    let both = observed([flows("flows"), named("other", LARGER)]);
    let answer = |map: &str, way| accept(&old, &both, map, way, "because", &levels()).unwrap_err().to_string();
    assert_eq!(answer("flows", Drop), "`drop` gives up a map that is gone, and map `flows` is still there");
    assert_eq!(answer("other", Swap), "map `other` is new, so there is nothing to accept; run `cargo maplock update`");
}

#[test]
fn maps_that_may_have_got_another_name_are_asked_about() {
    let asked = |old: Vec<MapDef>, new: Vec<MapDef>| -> Vec<(String, String)> {
        let (old, new) = (lock(old), observed(new));
        let renames = diff(&old, &new.lock).renames;
        for found in &renames {
            let what = format!("{} -> {}", found.old, found.new);
            assert_eq!(why_no_rename(&old, &new.lock, &found.old, &found.new), None, "{what}");
            let asks = found.comparison.findings.iter().any(|finding| finding.needs_decision());
            let taken = rename(&old, &new, (&found.old, &found.new), None, "because", &levels());
            assert_eq!(taken.is_err(), asks, "{what}: {taken:?}");
        }
        renames.into_iter().map(|rename| (rename.old, rename.new)).collect()
    };
    let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
    assert_eq!(asked(vec![flows("flows")], vec![flows("flow_table")]), [pair("flows", "flow_table")]);
    assert_eq!(asked(vec![flows("flows")], vec![named("flow_table", LARGER)]), [pair("flows", "flow_table")], "nearly");
    assert_eq!(asked(vec![flows("flows")], vec![named("other", "struct o { u64 x; u64 y; };")]), []);
    // A name that is like the old one, of several that may be.
    assert_eq!(
        asked(vec![flows("conns_v1"), flows("routes_v1")], vec![flows("conns_v2"), flows("routes_v2")]),
        [pair("conns_v1", "conns_v2"), pair("routes_v1", "routes_v2")]
    );
    assert_eq!(asked(vec![flows("flows")], vec![flows("flows"), flows("more")]), [], "nothing is gone");
    // Many at once.
    let many = |prefix: &str| (0..200).map(|at| flows(&format!("{prefix}{at}"))).collect::<Vec<_>>();
    assert_eq!(asked(many("old"), many("new")).len(), 200);
}

#[test]
fn a_map_that_is_renamed_and_no_longer_pinned_is_that_alone() {
    let old = lock([flows("flows")]);
    let new = renamed(&old, flows("flow_table"), "flows", None).unwrap();
    let mut objects = observed([flows("flow_table")]);
    objects.lock.maps.get_mut("flow_table").unwrap().ephemeral = true;
    let private = read(&accept(&new, &objects, "flow_table", Swap, "not needed", &levels()).unwrap());
    let found = diff(&old, &private);
    assert_eq!(
        lines(&found),
        ["map-renamed flow_table: flows -> flow_table", "pinning-removed flow_table: pinned -> not pinned"]
    );
    assert!(!found.has_breaks());
    let _: &LockedMap = &private.maps["flow_table"];
}

#[test]
fn a_lock_in_which_one_name_is_two_maps_is_not_read() {
    let problem = |lock: &Lock| Lock::parse(&lock.to_string()).unwrap_err().to_string();
    let old = lock([flows("flows")]);
    let mut both = given_up(&old, "flows");
    both.maps.clone_from(&old.maps);
    assert!(problem(&both).contains("map `flows` is there, and gone too"), "{}", problem(&both));
    let mut two = renamed(&old, flows("a"), "flows", None).unwrap();
    two.maps.extend(renamed(&old, flows("b"), "flows", None).unwrap().maps);
    assert!(problem(&two).contains("maps `a` and `b` both were `flows`"), "{}", problem(&two));
}
