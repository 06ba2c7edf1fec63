//! The way back over the epochs of a newer lock.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::config::Levels;
use maplock_layout::conversion::{Answers, Collide};
use maplock_layout::epochs::{accept, convert, merge};
use maplock_layout::lock::{LockedMap, Merge, OnUpgrade};
use maplock_layout::map::MapDef;
use maplock_layout::{Lock, SumPlace, WayBack};
use support::{lock, map, map_of, observed};

/// The lock in which a map goes from one definition to the next.
fn follow(before: &Lock, now: &MapDef, on_upgrade: OnUpgrade, answers: &Answers) -> Lock {
    let observed = observed([now.clone()]);
    let accepted = accept(before, &observed, "m", on_upgrade, "as agreed", &Levels::default()).unwrap();
    convert(&accepted, "m", (on_upgrade == OnUpgrade::Migrate).then_some(answers)).unwrap()
}

fn summed(lock: &Lock, path: &str) -> Lock {
    merge(lock, "m", &[(path.to_owned(), Merge::Sum)].into()).unwrap()
}

fn back(newer: &Lock, older: &MapDef) -> Result<WayBack, String> {
    let newer: &LockedMap = &newer.maps["m"];
    newer.way_back(older.digest()).map_err(|problem| problem.to_string())
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// Of the entry: is its key there again, and its value.
fn again(way: &WayBack, key: &[u8], value: &[u8]) -> (bool, bool) {
    let again = way.back.comes_again(&way.again, key, value).unwrap();
    (again.key, again.value)
}

#[test]
fn what_a_newer_member_holds_by_default_loses_nothing() {
    let (v1, v2) = (map("struct s { u32 a; };"), map("struct s { u32 a; u32 b; };"));
    let v3 = map("struct s { u64 a; u32 b; };");
    let answers = Answers { default: [("value.b".to_owned(), "7".to_owned())].into(), ..Answers::default() };
    let newer = follow(
        &follow(&lock([v1.clone()]), &v2, OnUpgrade::Migrate, &answers),
        &v3,
        OnUpgrade::Migrate,
        &Answers::default(),
    );
    let way = back(&summed(&newer, "a"), &v1).unwrap();
    assert_eq!(way.sums, [SumPlace { offset: 0, width: 4, signed: false }], "it was 64 bits wide");
    assert!(way.together.is_empty());
    let key = words(&[1]);
    for (a, b, is_whole) in [(5, 7, true), (u64::from(u32::MAX), 7, true), (5, 8, false), (1 << 32, 7, false)] {
        let value = [u64::to_ne_bytes(a).as_slice(), &words(&[b, 0])].concat();
        assert_eq!(again(&way, &key, &value), (true, is_whole), "{a} {b}");
    }
    assert_eq!(back(&newer, &v2).unwrap().back.legs.len(), 1);
}

#[test]
fn entries_that_a_newer_key_tells_apart_are_put_together_where_something_is_summed() {
    let value = "struct s { u64 n; u32 seen; };";
    let (v1, v2) = (map_of("struct k { u32 id; };", value), map_of("struct k { u32 id; u32 port; };", value));
    let answers = Answers { default: [("key.port".to_owned(), "0".to_owned())].into(), ..Answers::default() };
    let newer = follow(&lock([v1.clone()]), &v2, OnUpgrade::Migrate, &answers);
    let problem = back(&newer, &v1).unwrap_err();
    assert!(
        problem.starts_with("entries that differ in `key.port` would become one, and no member is summed"),
        "{problem}"
    );
    let way = back(&summed(&newer, "n"), &v1).unwrap();
    assert_eq!(way.together, ["key.port".to_owned()].into());
    assert_eq!(way.back.collide(), Some(Collide::Sum));
    let value = [words(&[3, 0, 9]), vec![0; 4]].concat();
    assert_eq!(again(&way, &words(&[1, 0]), &value), (true, true));
    assert_eq!(again(&way, &words(&[1, 80]), &value), (false, true));
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_not_taken_for_another() {
    let value = "struct s { u64 n; };";
    let (v1, v2) = (map_of("struct k { u32 id; };", value), map_of("struct k { u64 id; };", value));
    let way = back(&follow(&lock([v1.clone()]), &v2, OnUpgrade::Migrate, &Answers::default()), &v1).unwrap();
    assert_eq!(again(&way, &words(&[1, 0]), &words(&[3, 0])), (true, true));
    assert!(way.back.comes_again(&way.again, &words(&[1, 1]), &words(&[3, 0])).is_err());
}

#[test]
fn where_no_way_leads_back_it_is_said_why() {
    let (v1, v2) = (map("struct s { u32 a; };"), map("struct s { u64 a; };"));
    let by = |way, answers: &Answers| back(&follow(&lock([v1.clone()]), &v2, way, answers), &v1);
    let by_hand = Answers { by_hand: true, ..Answers::default() };
    let ends = |result: Result<WayBack, String>, end: &str| {
        let problem = result.unwrap_err();
        assert!(problem.ends_with(end), "{problem}");
    };
    ends(by(OnUpgrade::Migrate, &by_hand), "were converted by hand, which leads one way only");
    ends(by(OnUpgrade::Swap, &Answers::default()), "is accepted as `swap`");
    ends(back(&lock([v2]), &v1), &format!("it does not know {}", v1.digest().short()));
    // Where the bytes stayed, they stay.
    let renamed = map("struct s { u32 b; };");
    let way = back(&follow(&lock([v1.clone()]), &renamed, OnUpgrade::Reuse, &Answers::default()), &v1).unwrap();
    assert!(way.back.legs.is_empty());
}
