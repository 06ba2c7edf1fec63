//! How members that two releases count are merged: for the life of the map, and otherwise on the way over one epoch.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;

use maplock_layout::config::Levels;
use maplock_layout::conversion::{Answers, Cast};
use maplock_layout::epochs::{
    EpochError, accept, as_built, convert, keep_merged, merge, merge_once, rename, undo, update,
};
use maplock_layout::lock::{Merge, OnUpgrade};
use maplock_layout::map::MapDef;
use maplock_layout::rules::{self, Level};
use maplock_layout::{Lock, Verdict};
use support::{diff, lock, map, observed};

const V1: &str = "struct stats { u32 packets; u32 errors; };";
const V2: &str = "struct stats { u64 packets; u32 errors; };";
const V4: &str = "struct stats { u64 packets; u64 bytes; u32 errors; u32 drops; };";

fn levels() -> Levels {
    Levels::default()
}

/// The lock with the change of `m` to this value accepted.
#[track_caller]
fn accepted(before: &Lock, value: &str, on_upgrade: OnUpgrade, reason: &str) -> Lock {
    accept(before, &observed([map(value)]), "m", on_upgrade, reason, &levels()).unwrap()
}

/// The same, where entries are converted.
#[track_caller]
fn migrated(before: &Lock, value: &str, answers: &Answers) -> Lock {
    convert(&accepted(before, value, OnUpgrade::Migrate, "as agreed"), "m", Some(answers)).unwrap()
}

/// The lock that `update` makes of it for one map with this value.
#[track_caller]
fn updated(before: &Lock, value: &str) -> Lock {
    update(before, &observed([map(value)]), &levels()).unwrap()
}

#[track_caller]
fn verdict(old: &Lock, new: &Lock) -> Verdict {
    let [verdict] = diff(old, new).maps.try_into().unwrap();
    verdict
}

fn with(mut def: MapDef, change: impl FnOnce(&mut MapDef)) -> MapDef {
    change(&mut def);
    def
}

fn summed<'a>(paths: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Merge> {
    paths.into_iter().map(|path| (path.to_owned(), Merge::Sum)).collect()
}

#[test]
fn a_merge_belongs_to_the_map_until_it_is_taken_back() {
    let first = merge(&lock([map(V1)]), "m", &summed(["packets"])).unwrap();
    assert_eq!(first.maps["m"].merge, summed(["packets"]));
    assert_eq!(Lock::parse(&first.to_string()).unwrap(), first);
    assert_eq!(updated(&first, V1), first, "update keeps it");
    // Where it grows, and where it is converted.
    let grown = update(&first, &observed([with(map(V1), |def| def.max_entries *= 2)]), &levels()).unwrap();
    assert_eq!(verdict(&first, &grown).merge, summed(["packets"]));
    let second = migrated(&grown, V2, &Answers::default());
    assert_eq!(second.maps["m"].merge, summed(["packets"]));
    assert_eq!(verdict(&first, &second).merge, summed(["packets"]));
    let both = merge(&second, "m", &summed(["errors"])).unwrap();
    assert_eq!(verdict(&first, &both).merge, summed(["packets", "errors"]), "one more, beside those that are there");
    // Nothing is carried into a map that stays, or that starts empty.
    assert_eq!(verdict(&both, &both).merge, summed([]));
    let swapped = accepted(&both, V2, OnUpgrade::Swap, "not worth it");
    assert_eq!(verdict(&first, &swapped).merge, summed([]));
    assert_eq!(swapped.maps["m"].merge, summed(["packets", "errors"]), "the map is merged so all the same");
    // What was accepted is undone, and the map is merged as it was.
    assert_eq!(undo(&second, "m").unwrap().maps["m"].merge, summed(["packets"]));
}

#[test]
fn that_a_member_is_not_summed_is_said_for_life_too() {
    let of = |path: &str, how| BTreeMap::from([(path.to_owned(), how)]);
    let first = merge(&lock([map(V1)]), "m", &summed(["packets", "errors"])).unwrap();
    let first = merge(&first, "m", &of("packets", Merge::None)).unwrap();
    let said: BTreeMap<_, _> = summed(["errors"]).into_iter().chain(of("packets", Merge::None)).collect();
    assert_eq!(first.maps["m"].merge, said);
    assert_eq!(Lock::parse(&first.to_string()).unwrap(), first);
    assert_eq!(updated(&first, V1), first, "update keeps it");
    let second = migrated(&first, V2, &Answers::default());
    assert_eq!(second.maps["m"].merge, said);
    assert_eq!(verdict(&first, &second).merge, summed(["errors"]));
    // An epoch overrules it on its way.
    let once = merge_once(&second, "m", &of("packets", Merge::Sum)).unwrap();
    assert_eq!(verdict(&first, &once).merge, summed(["errors", "packets"]));
    let error = merge(&first, "m", &of("packet", Merge::None)).unwrap_err().to_string();
    assert!(error.contains("has no member `packet`; did you mean `packets`?"), "{error}");
}

#[test]
fn a_merge_follows_its_member() {
    let merged = |value: &str, paths: &[&str]| merge(&lock([map(value)]), "m", &summed(paths.iter().copied())).unwrap();
    let rename =
        |new: &str, old: &str| Answers { rename: [(new.to_owned(), old.to_owned())].into(), ..Answers::default() };
    let old = merged("struct stats { u32 packets; u32 errors; };", &["packets", "errors"]);
    // Converted, under another name: and back.
    let wide = migrated(&old, "struct stats { u64 frames; u32 errors; };", &rename("value.frames", "value.packets"));
    assert_eq!(wide.maps["m"].merge, summed(["errors", "frames"]));
    assert_eq!(verdict(&old, &wide).merge, summed(["errors", "frames"]));
    assert_eq!(undo(&wide, "m").unwrap(), old);
    // The bytes stay, and are called otherwise.
    let kept = accepted(&old, "struct stats { u32 frames; u32 errors; };", OnUpgrade::Reuse, "a better name");
    let kept = convert(&kept, "m", None).unwrap();
    assert_eq!(kept.maps["m"].merge, summed(["errors", "frames"]));
    assert_eq!(undo(&kept, "m").unwrap(), old);
    // In a struct that got another name; in an array.
    let nested = "struct c { u64 n; u32 x; }; struct stats { struct c was; u64 hits[4]; };";
    let old = merged(nested, &["was.n", "hits[]"]);
    let answers = rename("value.now", "value.was");
    let new = migrated(&old, "struct c { u64 n; u32 x; }; struct stats { u64 hits[8]; struct c now; };", &answers);
    assert_eq!(new.maps["m"].merge, summed(["hits[]", "now.n"]));
    assert_eq!(undo(&new, "m").unwrap(), old);
    // Gone, or no count any more.
    let old = merged("struct stats { u64 packets; u64 errors; u64 drops; };", &["packets", "errors", "drops"]);
    let answers = Answers {
        drop: ["value.drops".to_owned()].into(),
        cast: [("value.errors".to_owned(), Cast::Saturate)].into(),
        ..Answers::default()
    };
    let new = migrated(&old, "struct stats { u64 packets; u16 errors; };", &answers);
    assert_eq!(new.maps["m"].merge, summed(["packets"]));
}

#[test]
fn an_epoch_overrules_on_its_way() {
    let first = merge(&lock([map(V1)]), "m", &summed(["packets"])).unwrap();
    let second = migrated(&first, V2, &Answers::default());
    let once = BTreeMap::from([("packets".to_owned(), Merge::None), ("errors".to_owned(), Merge::Sum)]);
    let second = merge_once(&second, "m", &once).unwrap();
    assert_eq!(second.maps["m"].epochs[0].merge, once);
    assert_eq!(second.maps["m"].merge, summed(["packets"]));
    assert_eq!(Lock::parse(&second.to_string()).unwrap(), second);
    assert_eq!(verdict(&first, &second).merge, summed(["errors"]));
    // Over more epochs it is on the way too, under the name that the member has then.
    let frames = "struct stats { u64 frames; u64 faults; u64 bytes; };";
    let answers = Answers {
        rename: [("value.frames", "value.packets"), ("value.faults", "value.errors")]
            .map(|(new, old)| (new.to_owned(), old.to_owned()))
            .into(),
        ..Answers::default()
    };
    let third = migrated(&second, frames, &answers);
    assert_eq!(third.maps["m"].merge, summed(["frames"]));
    assert_eq!(verdict(&first, &third).merge, summed(["faults"]));
    // Nodes that are beyond it do not go that way.
    assert_eq!(verdict(&second, &third).merge, summed(["frames"]));
    let grown = update(&third, &observed([with(map(frames), |def| def.max_entries *= 2)]), &levels()).unwrap();
    assert_eq!(verdict(&third, &grown).merge, summed(["frames"]));
    let given_up = accepted(&second, V2, OnUpgrade::Swap, "not worth it");
    assert!(given_up.maps["m"].epochs[0].merge.is_empty(), "nothing is left to be summed on that way");
}

#[test]
fn a_map_keeps_its_merge_under_another_name_and_while_it_is_gone() {
    let first = merge(&lock([map(V1)]), "m", &summed(["packets"])).unwrap();
    let new = observed([MapDef { name: "n".to_owned(), ..map(V1) }]);
    let renamed = rename(&first, &new, ("m", "n"), None, "a better name", &levels()).unwrap();
    assert_eq!(renamed.maps["n"].merge, summed(["packets"]));
    assert_eq!(undo(&renamed, "n").unwrap(), first);
    let gone = accept(&first, &observed([]), "m", OnUpgrade::Drop, "nobody reads it", &levels()).unwrap();
    assert_eq!(Lock::parse(&gone.to_string()).unwrap(), gone);
    assert_eq!(undo(&gone, "m").unwrap(), first);
    assert_eq!(updated(&gone, V1).maps["m"].merge, summed(["packets"]), "it came back");
    assert_eq!(as_built(&first, &observed([map(V1)]).lock, &levels()), first);
}

#[test]
fn a_merge_that_cannot_be_is_refused_with_what_could() {
    let refused = |old: &str, new: &str, way: OnUpgrade, path: &str| {
        let accepted = accepted(&lock([map(old)]), new, way, "why not");
        merge_once(&accepted, "m", &summed([path])).unwrap_err().to_string()
    };
    let packet = "`packet` of map `m` cannot be merged: the value (struct stats) has no member `packet`; did you mean `packets`?; members that qualify: packets, errors";
    assert_eq!(refused(V1, V2, OnUpgrade::Migrate, "packet"), packet);
    assert_eq!(merge(&lock([map(V1)]), "m", &summed(["packet"])).unwrap_err().to_string(), packet);
    assert_eq!(
        refused("struct stats { u16 packets; u16 pad; u32 errors; };", V1, OnUpgrade::Reuse, "packets"),
        "`packets` of map `m` as it was cannot be merged: `packets` (u16) has 2 bytes, and only 4 or 8 can be summed at once; members that qualify: errors"
    );
    assert_eq!(
        refused(V1, V2, OnUpgrade::Swap, "packets"),
        "`swap` keeps no entry of map `m` that could be merged on this way; choose `reuse` or `migrate`, or leave `--merge-once` out"
    );
    assert_eq!(
        merge(&lock([map(V1)]), "n", &summed(["packets"])).unwrap_err().to_string(),
        "the lock has no map `n`; `cargo maplock update` enters those that are new"
    );
    // What is converted is settled by what it became.
    let narrow = accepted(&lock([map("struct stats { u16 packets; u32 errors; };")]), V2, OnUpgrade::Migrate, "wider");
    merge_once(&narrow, "m", &summed(["packets"])).unwrap();
    let added = accepted(&lock([map(V1)]), V4, OnUpgrade::Migrate, "bytes too");
    merge_once(&added, "m", &summed(["bytes"])).unwrap();
    let nothing = Err(EpochError::NothingToAccept("m".to_owned()));
    assert_eq!(merge_once(&lock([map(V1)]), "m", &summed(["packets"])), nothing);
    let untyped = lock([with(map(V2), |def| def.value = None)]);
    assert_eq!(merge(&untyped, "m", &summed(["packets"])), Err(EpochError::NoMembers("m".to_owned())));
}

#[test]
fn a_merge_follows_a_member_that_update_is_allowed_to_rename() {
    let mut free = levels();
    free.set(&rules::MEMBER_RENAMED, Level::Allow);
    let first = merge(&lock([map(V1)]), "m", &summed(["packets", "errors"])).unwrap();
    let other_name = observed([map("struct stats { u32 frames; u32 errors; };")]);
    let second = update(&first, &other_name, &free).unwrap();
    assert_eq!(second.maps["m"].epochs.len(), 1);
    assert_eq!(second.maps["m"].merge, summed(["errors", "frames"]));
    assert_eq!(verdict(&first, &with_room(&second)).merge, summed(["errors", "frames"]));
    // The same of a map that comes back.
    let gone = accept(&first, &observed([]), "m", OnUpgrade::Drop, "nobody reads it", &levels()).unwrap();
    let again = update(&gone, &other_name, &free).unwrap();
    assert_eq!(again.maps["m"].merge, summed(["errors", "frames"]));
    assert_eq!(as_built(&gone, &other_name.lock, &free).maps["m"].merge, summed(["errors", "frames"]));
}

/// The same lock, with a map that nodes have to grow.
fn with_room(of: &Lock) -> Lock {
    let mut larger = of.clone();
    larger.maps.values_mut().for_each(|map| map.def.max_entries *= 2);
    larger
}

#[test]
fn another_answer_changes_nothing_of_how_todays_members_are_merged() {
    let first = merge(&lock([map("struct stats { u32 a; u32 b; };")]), "m", &summed(["a"])).unwrap();
    let wide = "struct stats { u64 b; u64 c; };";
    let rename = [("value.b", "value.a"), ("value.c", "value.b")];
    let rename = rename.map(|(new, old)| (new.to_owned(), old.to_owned())).into();
    let answers = Answers { rename, ..Answers::default() };
    let second = migrated(&first, wide, &answers);
    assert_eq!(second.maps["m"].merge, summed(["b"]));
    let again = accepted(&second, wide, OnUpgrade::Migrate, "a better reason");
    let again = convert(&again, "m", None).unwrap();
    assert_eq!(again.maps["m"].epochs[0].reason, "a better reason");
    assert_eq!(keep_merged(&again, &second, "m").maps["m"].merge, summed(["b"]), "`b` is no `c`");
    // Of another definition, there is nothing to keep.
    assert_eq!(keep_merged(&second, &first, "m"), second);
}
