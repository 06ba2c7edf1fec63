//! How a lock follows its objects: what `update` takes over, what somebody must accept, and what an acceptance covers.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use maplock_layout::config::Levels;
use maplock_layout::epochs::{EpochError, accept, undo, update};
use maplock_layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock_layout::map::{MapDef, MapType, Pinning};
use maplock_layout::rules::{self, Level};
use maplock_layout::{Digest, Disposition, Lock, Observation, Verdict, compare};
use support::{diff, lines, lock, map, observed};

const V1: &str = "struct stats { u32 packets; u32 errors; };";
const V2: &str = "struct stats { u64 packets; u32 errors; };";
const V3: &str = "struct stats { u64 packets; u32 errors; u32 drops; };";
const V4: &str = "struct stats { u64 packets; u64 bytes; u32 errors; u32 drops; };";

fn levels() -> Levels {
    Levels::default()
}

/// The lock with the change of `m` to this value accepted.
#[track_caller]
fn accepted(before: &Lock, value: &str, on_upgrade: OnUpgrade, reason: &str) -> Lock {
    accept(before, &observed([map(value)]), "m", on_upgrade, reason, &levels()).unwrap()
}

/// The lock that `update` makes of it for one map with this value.
#[track_caller]
fn updated(before: &Lock, value: &str) -> Lock {
    update(before, &observed([map(value)]), &levels()).unwrap()
}

fn verdict(old: &Lock, new: &Lock) -> Verdict {
    let [verdict] = diff(old, new).maps.try_into().unwrap();
    verdict
}

fn with(mut def: MapDef, change: impl FnOnce(&mut MapDef)) -> MapDef {
    change(&mut def);
    def
}

// Update.

#[test]
fn a_lock_begins_as_what_the_objects_say() {
    let objects = observed([map(V1)]);
    let first = update(&Lock::default(), &objects, &levels()).unwrap();
    assert_eq!(first.to_string(), objects.lock.to_string());
    assert_eq!(
        update(&first, &objects, &levels()).unwrap().to_string(),
        first.to_string(),
        "a second one changes nothing"
    );
}

#[test]
fn what_loses_no_state_is_taken_over() {
    let old = lock([map(V1)]);
    let objects = observed([
        with(map(V1), |def| (def.max_entries, def.numa_node) = (4096, 1)),
        with(map("u32"), |def| def.name = "new".to_owned()),
    ]);
    let new = update(&old, &objects, &levels()).unwrap();
    assert_eq!(new.to_string(), objects.lock.to_string());
    assert!(new.maps["m"].epochs.is_empty(), "growth needs no epoch");
}

#[test]
fn a_larger_capacity_that_a_map_does_not_get_is_warned_of() {
    let of = |map_type, max_entries| with(map("u32"), |def| (def.map_type, def.max_entries) = (map_type, max_entries));
    let old = lock([of(MapType::BLOOM_FILTER, 64)]);
    let new = update(&old, &observed([of(MapType::BLOOM_FILTER, 128)]), &levels()).unwrap();
    let comparison = diff(&old, &new);
    assert_eq!(lines(&comparison), ["capacity-stays m: 64 -> 128"]);
    let [finding] = comparison.findings.as_slice() else { panic!("one finding") };
    assert_eq!(finding.level, Level::Warn);
    assert_eq!(
        finding.message(),
        "map `m` keeps its capacity of 64, and new programs run on that, though max_entries is 128: entries of a bloom_filter can't be copied: a bloom filter does not tell what was added to it"
    );
    assert_eq!(verdict(&old, &new).disposition, Disposition::Reuse);
    // Tables that each loader fills, and events on their way, are in a new map; nothing of them is lost.
    for map_type in [MapType::PROG_ARRAY, MapType::RINGBUF] {
        let verdict = verdict(&lock([of(map_type, 64)]), &lock([of(map_type, 128)]));
        assert_eq!((verdict.disposition, verdict.loses_entries()), (Disposition::Swap, false), "{map_type}");
    }
}

#[test]
fn a_capacity_that_a_map_does_not_get_may_be_worth_its_entries() {
    let of =
        |max_entries| with(map("u32"), |def| (def.map_type, def.max_entries) = (MapType::STACK_TRACE, max_entries));
    let mut denied = levels();
    denied.set(&rules::CAPACITY_STAYS, Level::Deny);
    let old = lock([of(64)]);
    assert!(update(&old, &observed([of(128)]), &denied).is_err());
    let new =
        accept(&old, &observed([of(128)]), "m", OnUpgrade::Swap, "new stacks come by themselves", &denied).unwrap();
    assert_eq!(verdict(&old, &new).disposition, Disposition::Swap);
    // What grows on was not looked at.
    let more = update(&new, &observed([of(256)]), &levels()).unwrap();
    assert_eq!(verdict(&new, &more).disposition, Disposition::Reuse);
}

#[test]
fn a_capacity_that_a_map_does_not_get_is_accepted_beside_another_break() {
    let stacks = |value, max_entries| {
        with(map(value), |def| (def.map_type, def.max_entries) = (MapType::STACK_TRACE, max_entries))
    };
    let mut denied = levels();
    denied.set(&rules::CAPACITY_STAYS, Level::Deny);
    let old = lock([stacks("struct v { u64 a; };", 16)]);
    let objects = observed([stacks("struct v { u64 b; };", 64)]);
    let swapped = accept(&old, &objects, "m", OnUpgrade::Swap, "new stacks come", &denied).unwrap();
    assert_eq!(swapped.maps["m"].epochs[0].rules, ["member-renamed"]);
    let reused = accept(&old, &objects, "m", OnUpgrade::Reuse, "the stacks count", &denied).unwrap();
    let amended = accept(&swapped, &objects, "m", OnUpgrade::Reuse, "the stacks count", &denied).unwrap();
    assert_eq!(amended.to_string(), reused.to_string(), "a second thought is as good");
    let epoch = &reused.maps["m"].epochs[0];
    assert_eq!((epoch.max_entries, epoch.rules.join(" ")), (Some(64), "capacity-stays member-renamed".to_owned()));
    for (new, disposition) in [(&swapped, Disposition::Swap), (&reused, Disposition::Reuse)] {
        let comparison = compare(&old, new, &denied);
        assert_eq!((comparison.has_breaks(), comparison.maps[0].disposition), (false, disposition));
    }
}

#[test]
fn room_may_be_worth_the_entries_beside_a_change_of_spelling() {
    let unknown =
        |value, max_entries| with(map(value), |def| (def.map_type, def.max_entries) = (MapType(4711), max_entries));
    let mut denied = levels();
    denied.set(&rules::TYPE_SPELLING_CHANGED, Level::Deny);
    let old = lock([unknown("struct a { u32 n; };", 64)]);
    let objects = observed([unknown("struct b { u32 n; };", 128)]);
    let error = accept(&old, &objects, "m", OnUpgrade::Reuse, "why", &denied).unwrap_err().to_string();
    assert!(error.ends_with("nothing is known of this type; choose `swap`"), "{error}");
    let new = accept(&old, &objects, "m", OnUpgrade::Swap, "why", &denied).unwrap();
    let comparison = compare(&old, &new, &denied);
    assert_eq!((comparison.has_breaks(), comparison.maps[0].disposition), (false, Disposition::Swap));
}

#[test]
fn where_no_answer_can_be_none_is_named() {
    let error = EpochError::CannotBe {
        map: "m".to_owned(),
        on_upgrade: OnUpgrade::Swap,
        because: "it is so".to_owned(),
        is_refused: false,
        answers: Vec::new(),
    };
    assert_eq!(
        error.to_string(),
        "`swap` is no answer for map `m`: it is so; no answer can be, so take the change back"
    );
}

#[test]
fn of_a_capacity_that_was_set_at_run_time_nothing_is_said_to_stay() {
    let of =
        |max_entries| with(map("u32"), |def| (def.map_type, def.max_entries) = (MapType::BLOOM_FILTER, max_entries));
    let comparison = diff(&lock([of(0)]), &lock([of(64)]));
    assert_eq!(lines(&comparison), ["capacity-at-run-time m: set at run time -> 64"]);
}

#[test]
fn what_no_node_does_is_not_accepted() {
    let of = |map_type, max_entries| with(map("u32"), |def| (def.map_type, def.max_entries) = (map_type, max_entries));
    let tries = |old: MapDef, new: MapDef, on_upgrade| {
        let taken = accept(&lock([old]), &observed([new]), "m", on_upgrade, "because", &levels());
        taken.map(|_| ()).map_err(|error| error.to_string())
    };
    for (map_type, because) in [
        (
            MapType::STACK_TRACE,
            "entries of a stack_trace can't be copied: its keys are ids of stacks that only the kernel gives out",
        ),
        (MapType::PROG_ARRAY, "entries of a prog_array can't be converted: each loader fills its own"),
        (MapType::RINGBUF, "entries of a ringbuf can't be converted: they stay in the old one until they are read"),
    ] {
        let sentence = format!("`migrate` is no answer for map `m`: {because}; choose `swap`");
        assert_eq!(tries(of(map_type, 64), of(map_type, 32), OnUpgrade::Migrate), Err(sentence));
        assert_eq!(tries(of(map_type, 64), of(map_type, 32), OnUpgrade::Swap), Ok(()));
    }
    let wider = |map_type| with(of(map_type, 64), |def| (def.value_size, def.value) = (8, None));
    let sentence = "map `m` cannot be reused: the value of `m` grew from 4 to 8 bytes, and the kernel would refuse the pinned map; choose `swap`";
    assert_eq!(tries(of(MapType::DEVMAP, 64), wider(MapType::DEVMAP), OnUpgrade::Reuse), Err(sentence.to_owned()));
    let sentence = "`migrate` is no answer for map `m`: entries of a devmap can't be converted; choose `swap`";
    assert_eq!(tries(of(MapType::DEVMAP, 64), wider(MapType::DEVMAP), OnUpgrade::Migrate), Err(sentence.to_owned()));
    // Of a type that is not known, a larger map is no growth.
    let unknown = MapType(4711);
    let because = "entries of a map of type 4711 can't be copied: nothing is known of this type";
    let sentence = format!("map `m` cannot be reused: {because}; choose `swap`");
    assert_eq!(tries(of(unknown, 64), of(unknown, 128), OnUpgrade::Reuse), Err(sentence));
    assert!(update(&lock([of(unknown, 64)]), &observed([of(unknown, 128)]), &levels()).is_err());
    assert_eq!(tries(of(unknown, 64), of(unknown, 128), OnUpgrade::Swap), Ok(()));
}

#[test]
fn what_loses_state_is_not_taken_over_and_the_comparison_says_why() {
    for change in [
        map(V2),
        with(map(V1), |def| def.max_entries = 64),
        with(map(V1), |def| def.map_type = MapType::LRU_HASH),
        with(map(V1), |def| def.pinning = Pinning::None),
    ] {
        let old = lock([map(V1)]);
        let comparison = update(&old, &observed([change.clone()]), &levels()).unwrap_err();
        assert_eq!(*comparison, diff(&old, &lock([change])));
        assert!(comparison.has_breaks());
    }
}

#[test]
fn a_level_of_allow_does_not_make_old_bytes_right() {
    let mut levels = levels();
    for rule in [&rules::MEMBER_TYPE_CHANGED, &rules::MEMBER_MOVED, &rules::VALUE_SIZE_CHANGED] {
        levels.set(rule, Level::Allow);
    }
    let comparison = update(&lock([map(V1)]), &observed([map(V2)]), &levels).unwrap_err();
    assert!(!comparison.has_breaks());
    assert_eq!(comparison.maps[0].disposition, Disposition::Refuse);
}

#[test]
fn a_rule_that_a_project_lowered_needs_no_acceptance_where_bytes_stay_right() {
    let mut levels = levels();
    levels.set(&rules::MEMBER_RENAMED, Level::Warn);
    let renamed = "struct stats { u32 hits; u32 errors; };";
    let new = update(&lock([map(V1)]), &observed([map(renamed)]), &levels).unwrap();
    let [bridge] = new.maps["m"].epochs.as_slice() else { panic!("{new}") };
    assert_eq!((bridge.on_upgrade, bridge.rules.as_slice()), (OnUpgrade::Reuse, &["member-renamed".to_owned()][..]));
    assert_eq!(verdict(&lock([map(V1)]), &new).disposition, Disposition::Reuse);
}

#[test]
fn maps_that_are_not_pinned_are_not_entered() {
    let mut objects = observed([map(V1)]);
    objects.lock.maps.get_mut("m").unwrap().ephemeral = true;
    assert_eq!(update(&Lock::default(), &objects, &levels()).unwrap(), Lock::default());
}

// Accept.

#[test]
fn an_accepted_break_is_recorded_with_the_definition_that_it_leaves() {
    let (old, new) = (lock([map(V1)]), accepted(&lock([map(V1)]), V2, OnUpgrade::Migrate, "  counters wrapped "));
    let locked = &new.maps["m"];
    assert_eq!(locked.def.digest(), map(V2).digest());
    let [epoch] = locked.epochs.as_slice() else { panic!("{new}") };
    assert_eq!((epoch.from, epoch.to), (map(V1).digest(), map(V2).digest()));
    assert_eq!(epoch.rules, ["member-moved", "member-type-changed", "value-size-changed"]);
    assert_eq!(
        (epoch.on_upgrade, epoch.reason.as_str(), epoch.max_entries),
        (OnUpgrade::Migrate, "counters wrapped", None)
    );
    assert!(LockedMap::new(epoch.previous.clone()).same_definition(&old.maps["m"]));

    let check = diff(&old, &new);
    assert!(!check.has_breaks());
    assert!(check.findings.iter().all(|finding| finding.accepted == Some(OnUpgrade::Migrate)));
    assert_eq!(check.maps[0].disposition, Disposition::Migrate);
    assert_eq!(check.maps[0].reason.as_deref(), Some("counters wrapped"));
    assert_eq!(Lock::parse(&new.to_string()).unwrap().to_string(), new.to_string());
}

#[test]
fn each_answer_is_what_the_node_does() {
    for (answer, disposition) in [
        (OnUpgrade::Migrate, Disposition::Migrate),
        (OnUpgrade::Swap, Disposition::Swap),
        (OnUpgrade::Refuse, Disposition::Refuse),
    ] {
        let new = accepted(&lock([map(V1)]), V2, answer, "why");
        let check = diff(&lock([map(V1)]), &new);
        assert_eq!((check.maps[0].disposition, check.has_breaks()), (disposition, false));
    }
    // A member in what was padding: the old bytes may be right as they are.
    let new = accepted(&lock([map(V2)]), V3, OnUpgrade::Reuse, "it was always zero");
    assert_eq!(verdict(&lock([map(V2)]), &new).disposition, Disposition::Reuse);
}

#[test]
fn a_map_that_is_reused_and_grew_is_grown() {
    let objects = observed([with(map(V3), |def| def.max_entries = 4096)]);
    let new = accept(&lock([map(V2)]), &objects, "m", OnUpgrade::Reuse, "zero", &levels()).unwrap();
    assert_eq!(verdict(&lock([map(V2)]), &new).disposition, Disposition::Grow);
}

#[test]
fn accepting_one_map_leaves_the_others_alone() {
    let other = |value| with(map(value), |def| def.name = "other".to_owned());
    let old = lock([map(V1), other(V1)]);
    let new = accept(&old, &observed([map(V2), other(V2)]), "m", OnUpgrade::Swap, "why", &levels()).unwrap();
    assert_eq!(new.maps["other"], old.maps["other"]);
    let breaks = diff(&new, &lock([map(V2), other(V2)]));
    assert!(breaks.findings.iter().all(|finding| finding.map == "other") && breaks.has_breaks());
}

#[test]
fn an_acceptance_does_not_hide_the_next_break() {
    let once = accepted(&lock([map(V1)]), V2, OnUpgrade::Migrate, "why");
    let next = diff(&once, &lock([map("struct stats { u64 packets; u64 errors; };")]));
    assert!(next.has_breaks());
    // The same by a lock that was put together by hand: another definition behind the same epoch.
    let mut forged = once;
    forged.maps.get_mut("m").unwrap().def = map("struct stats { u64 packets; u64 errors; };");
    let check = diff(&lock([map(V1)]), &forged);
    assert!(check.has_breaks());
    assert!(check.findings.iter().any(|finding| finding.rule == &rules::STALE_EPOCH), "{:?}", lines(&check));
}

#[test]
fn an_acceptance_covers_the_rules_that_it_names_and_no_others() {
    let mut new = accepted(&lock([map(V1)]), V2, OnUpgrade::Migrate, "why");
    new.maps.get_mut("m").unwrap().epochs[0].rules = vec!["member-moved".to_owned()];
    let check = diff(&lock([map(V1)]), &new);
    let open: Vec<_> =
        check.findings.iter().filter(|finding| finding.is_break()).map(|finding| finding.rule.id).collect();
    assert_eq!(open, ["member-type-changed", "value-size-changed"]);
}

#[test]
fn an_acceptance_of_one_map_is_none_of_another() {
    let other = |value| with(map(value), |def| def.name = "other".to_owned());
    let old = lock([map(V1), other(V1)]);
    let mut new = accept(&old, &observed([map(V2), other(V2)]), "m", OnUpgrade::Swap, "why", &levels()).unwrap();
    new.maps.get_mut("other").unwrap().def = other(V2);
    let check = diff(&old, &new);
    assert!(
        check.of_map("m").all(|finding| !finding.is_break()) && check.of_map("other").any(|finding| finding.is_break())
    );
}

#[test]
fn a_mistake_in_the_answer_is_put_right_by_accepting_again() {
    let once = accepted(&lock([map(V2)]), V3, OnUpgrade::Reuse, "zero");
    let amended = accepted(&once, V3, OnUpgrade::Swap, "it was not zero after all");
    let [epoch] = amended.maps["m"].epochs.as_slice() else { panic!("{amended}") };
    assert_eq!((epoch.on_upgrade, epoch.reason.as_str()), (OnUpgrade::Swap, "it was not zero after all"));
    assert_eq!(epoch.rules, once.maps["m"].epochs[0].rules);
    assert_eq!(verdict(&lock([map(V2)]), &amended).disposition, Disposition::Swap);
}

#[test]
fn an_answer_that_is_amended_is_held_against_the_kernel_too() {
    let once = accepted(&lock([map(V1)]), V2, OnUpgrade::Swap, "why");
    let error = accept(&once, &observed([map(V2)]), "m", OnUpgrade::Reuse, "oh", &levels()).unwrap_err();
    assert!(matches!(error, EpochError::CannotBe { .. }), "{error}");
}

#[test]
fn what_the_kernel_would_not_reuse_can_not_be_accepted_as_reuse() {
    type Change = fn(&mut MapDef);
    let either = "`migrate` or `swap`";
    let changes: [(Change, &str, &str); 6] = [
        (|def| *def = map(V4), "the value of `m` grew from 8 to 24 bytes", either),
        (|def| def.map_type = MapType::LRU_HASH, "map `m` changed from hash to lru_hash", either),
        (|def| def.flags = 1, "map_flags of `m` are BPF_F_NO_PREALLOC, they were 0", either),
        // Only of maps that can't be copied does the kernel take one (`map_create`).
        (|def| def.map_extra = 3, "map_extra of `m` is 3, it was 0", "`swap`"),
        (|def| def.max_entries = 64, "max_entries of `m` shrank from 1024 to 64", either),
        (|def| def.key_size = 8, "the key of `m` grew from 4 to 8 bytes", either),
    ];
    for (change, because, answers) in changes {
        let new = observed([with(map(V1), change)]);
        let error = accept(&lock([map(V1)]), &new, "m", OnUpgrade::Reuse, "why", &levels()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "map `m` cannot be reused: {because}, and the kernel would refuse the pinned map; choose {answers}"
            )
        );
        assert!(accept(&lock([map(V1)]), &new, "m", OnUpgrade::Swap, "why", &levels()).is_ok());
    }
}

#[test]
fn an_answer_that_no_node_could_follow_is_refused() {
    let unpinned = |mut objects: Observation| {
        objects.lock.maps.get_mut("m").unwrap().ephemeral = true;
        objects
    };
    let extra = |extra| with(map(V1), |def| def.map_extra = extra);
    let cases = [
        (lock([map(V1)]), unpinned(observed([map(V1)])), OnUpgrade::Migrate),
        (lock([map(V1)]), unpinned(observed([map(V1)])), OnUpgrade::Reuse),
        (lock([extra(0)]), observed([extra(3)]), OnUpgrade::Migrate),
    ];
    for (old, new, on_upgrade) in cases {
        let error = accept(&old, &new, "m", on_upgrade, "why", &levels()).unwrap_err();
        assert!(matches!(error, EpochError::CannotBe { .. }), "{on_upgrade}: {error}");
        accept(&old, &new, "m", OnUpgrade::Swap, "why", &levels()).unwrap();
    }
}

#[test]
fn what_was_answered_to_a_change_that_is_denied_here_counts_on_a_node_that_knows_no_levels() {
    let untyped = with(map(V1), |def| def.value = None);
    let mut strict = levels();
    strict.set(&rules::LAYOUT_ADDED, Level::Deny);
    let old = lock([untyped]);
    let objects = observed([map(V1)]);
    let new = accept(&old, &objects, "m", OnUpgrade::Swap, "it held something else", &strict).unwrap();
    for levels in [strict, levels()] {
        assert_eq!(compare(&old, &new, &levels).maps[0].disposition, Disposition::Swap);
    }
    // Where nobody was asked, the bytes stay.
    let unasked = update(&old, &objects, &levels()).unwrap();
    assert_eq!(compare(&old, &unasked, &levels()).maps[0].disposition, Disposition::Reuse);
}

#[test]
fn what_can_not_be_accepted_is_said_in_a_sentence() {
    let old = lock([with(map(V1), |def| def.name = "flows".to_owned())]);
    let objects = observed([with(map(V1), |def| def.name = "flows".to_owned())]);
    let error = |map: &str, reason: &str| {
        accept(&old, &objects, map, OnUpgrade::Swap, reason, &levels()).unwrap_err().to_string()
    };
    assert_eq!(error("flow", "why"), "no map `flow` in the lock or the objects; did you mean `flows`?");
    assert_eq!(error("zzz", "why"), "no map `zzz` in the lock or the objects");
    assert_eq!(error("flows", "why"), "map `flows` is as in the lock: there is nothing to accept");
    assert_eq!(error("flows", " \n"), "the reason is empty; say for the reviewers why this break is right");
}

#[test]
fn a_map_that_is_no_longer_pinned_is_accepted_as_such() {
    let old = lock([map(V1)]);
    let mut objects = observed([map(V1)]);
    objects.lock.maps.get_mut("m").unwrap().ephemeral = true;
    let new = accept(&old, &objects, "m", OnUpgrade::Swap, "rebuilt at start", &levels()).unwrap();
    assert!(new.maps["m"].ephemeral);
    assert!(!diff(&old, &new).has_breaks());
    let again = Lock::parse(&new.to_string()).unwrap();
    assert!(!diff(&old, &again).has_breaks());
    assert_eq!(update(&again, &objects, &levels()).unwrap().to_string(), new.to_string());
}

#[test]
fn a_map_that_counts_as_pinned_without_its_line_stays_what_it_is() {
    let unnamed = |value| with(map(value), |def| def.pinning = Pinning::None);
    let old = lock([map(V1)]);
    let objects = observed([unnamed(V1)]);
    let error = accept(&old, &objects, "m", OnUpgrade::Swap, "why", &levels()).unwrap_err().to_string();
    assert!(error.ends_with("; choose `reuse`"), "{error}");
    let new = accept(&old, &objects, "m", OnUpgrade::Reuse, "pinned all the same", &levels()).unwrap();
    let comparison = diff(&old, &new);
    assert_eq!((comparison.has_breaks(), comparison.maps[0].disposition), (false, Disposition::Reuse));
    // With a change of its bytes, that one's answers count.
    let wider = accept(&old, &observed([unnamed(V2)]), "m", OnUpgrade::Migrate, "64 bits", &levels()).unwrap();
    let comparison = diff(&old, &wider);
    assert_eq!((comparison.has_breaks(), comparison.maps[0].disposition), (false, Disposition::Migrate));
    // Of one that is pinned no more, no kernel is asked.
    let mut gone = observed([unnamed(V1)]);
    gone.lock.maps.get_mut("m").unwrap().ephemeral = true;
    let error = accept(&old, &gone, "m", OnUpgrade::Reuse, "why", &levels()).unwrap_err();
    assert_eq!(error.to_string(), "map `m` cannot be reused: map `m` is no longer pinned; choose `swap`");
}

// Undo.

#[test]
fn undo_restores_the_lock_from_before_the_acceptance() {
    let old = lock([map(V1)]);
    let once = accepted(&old, V2, OnUpgrade::Migrate, "why");
    let twice = accepted(&once, V4, OnUpgrade::Swap, "why");
    let back_once = undo(&twice, "m").unwrap();
    assert_eq!(back_once.to_string(), once.to_string());
    assert_eq!(undo(&back_once, "m").unwrap().to_string(), old.to_string());
}

#[test]
fn undo_restores_a_map_that_was_accepted_as_no_longer_pinned() {
    let old = lock([map(V1)]);
    let mut objects = observed([map(V1)]);
    objects.lock.maps.get_mut("m").unwrap().ephemeral = true;
    let new = accept(&old, &objects, "m", OnUpgrade::Swap, "why", &levels()).unwrap();
    assert_eq!(undo(&new, "m").unwrap().to_string(), old.to_string());
}

#[test]
fn there_may_be_nothing_to_undo() {
    let old = lock([map(V1)]);
    assert_eq!(undo(&old, "m").unwrap_err().to_string(), "nothing was accepted for map `m`: there is nothing to undo");
    assert!(matches!(undo(&old, "n").unwrap_err(), EpochError::NoSuchMap { .. }));
}

// Several releases.

#[test]
fn a_node_may_skip_releases_and_gets_the_gravest_answer_on_the_way() {
    let v1 = lock([map(V1)]);
    let v2 = accepted(&v1, V2, OnUpgrade::Migrate, "counters to 64 bits");
    let v3 = accepted(&v2, V3, OnUpgrade::Reuse, "it was padding");
    let v4 = accepted(&v3, V4, OnUpgrade::Swap, "bytes in the middle");
    for (from, to, disposition, reason) in [
        (&v1, &v2, Disposition::Migrate, Some("counters to 64 bits")),
        (&v2, &v3, Disposition::Reuse, Some("it was padding")),
        (&v1, &v3, Disposition::Migrate, Some("counters to 64 bits")),
        (&v3, &v4, Disposition::Swap, Some("bytes in the middle")),
        (&v1, &v4, Disposition::Swap, Some("bytes in the middle")),
        (&v4, &v4, Disposition::Reuse, None),
    ] {
        // Also as the files say it, and from a base that has no history of its own.
        for from in [from.clone(), lock([from.maps["m"].def.clone()]), Lock::parse(&from.to_string()).unwrap()] {
            let check = diff(&from, &Lock::parse(&to.to_string()).unwrap());
            assert!(!check.has_breaks(), "{:?}", lines(&check));
            assert_eq!((check.maps[0].disposition, check.maps[0].reason.as_deref()), (disposition, reason));
        }
    }
}

#[test]
fn a_base_that_no_epoch_leads_from_breaks() {
    let v2 = lock([map(V2)]);
    let v3 = accepted(&v2, V3, OnUpgrade::Reuse, "it was padding");
    let check = diff(&lock([map(V1)]), &v3);
    assert!(check.has_breaks());
    assert_eq!((check.maps[0].disposition, &check.maps[0].reason), (Disposition::Refuse, &None));
    // Nor is what was said of another step said of this one.
    let mut on = v3.clone();
    on.maps.get_mut("m").unwrap().def = map(V4);
    let check = diff(&v2, &on);
    assert_eq!((check.maps[0].disposition, &check.maps[0].reason), (Disposition::Refuse, &None));
    // And there is no way back.
    assert!(diff(&v3, &v2).has_breaks());
}

#[test]
fn whoever_refreshes_the_lock_without_an_epoch_is_found_by_the_base() {
    let (base, refreshed) = (lock([map(V1)]), lock([map(V2)]));
    assert_eq!(lines(&diff(&refreshed, &lock([map(V2)]))), [""; 0], "fresh it is");
    assert!(diff(&base, &refreshed).has_breaks());
}

#[test]
fn a_change_that_is_taken_back_needs_a_way_back() {
    let v1 = lock([map(V1)]);
    let v2 = accepted(&v1, V2, OnUpgrade::Migrate, "there");
    let back = accepted(&v2, V1, OnUpgrade::Swap, "and back");
    assert_eq!(lines(&diff(&v1, &back)), [""; 0], "for those who never left");
    assert_eq!(verdict(&v2, &back).disposition, Disposition::Swap);
    let on = accepted(&back, V4, OnUpgrade::Swap, "and on");
    for from in [&v1, &v2, &back] {
        assert!(!diff(from, &on).has_breaks());
    }
}

#[test]
fn a_new_digest_that_misreads_nothing_is_bridged_by_update() {
    let kind = "struct v { enum kind { A, B } kind; u32 x; };";
    let number = "struct v { u32 kind; u32 x; };";
    let v1 = lock([map(kind)]);
    let v2 = updated(&v1, number);
    let [bridge] = v2.maps["m"].epochs.as_slice() else { panic!("{v2}") };
    assert_eq!(
        (bridge.from, bridge.to, bridge.on_upgrade),
        (map(kind).digest(), map(number).digest(), OnUpgrade::Reuse)
    );
    assert!(bridge.is_bridge());
    assert_eq!(verdict(&v1, &v2).disposition, Disposition::Reuse);
    // The next break is accepted from there, and holds for those who come from before the bridge.
    let v3 = accepted(&v2, "struct v { u32 kind; u64 x; };", OnUpgrade::Migrate, "why");
    let check = diff(&v1, &v3);
    assert!(!check.has_breaks(), "{:?}", lines(&check));
    assert_eq!(check.maps[0].disposition, Disposition::Migrate);
}

#[test]
fn growth_and_spelling_within_a_digest_need_no_bridge() {
    let v1 = lock([map(V1)]);
    let grown = with(map("struct statistics { u32 packets; u32 errors; };"), |def| def.max_entries = 2048);
    let v2 = update(&v1, &observed([grown]), &levels()).unwrap();
    assert!(v2.maps["m"].epochs.is_empty());
    let v3 = accepted(&v2, V2, OnUpgrade::Migrate, "why");
    assert!(!diff(&v1, &v3).has_breaks());
}

// Capacity.

#[test]
fn a_capacity_accepted_down_to_64_does_not_accept_32() {
    let with_entries = |entries| with(map(V1), |def| def.max_entries = entries);
    let base = lock([with_entries(1024)]);
    let shrunk = accept(&base, &observed([with_entries(64)]), "m", OnUpgrade::Swap, "why", &levels()).unwrap();
    assert_eq!(shrunk.maps["m"].epochs[0].max_entries, Some(64));
    let check = diff(&base, &shrunk);
    assert_eq!((check.has_breaks(), check.maps[0].disposition), (false, Disposition::Swap));

    for (entries, breaks) in [(32, true), (63, true), (64, false), (128, false), (1024, false)] {
        let mut head = shrunk.clone();
        head.maps.get_mut("m").unwrap().def.max_entries = entries;
        assert_eq!(diff(&base, &head).has_breaks(), breaks, "{entries}");
    }
    update(&shrunk, &observed([with_entries(32)]), &levels()).unwrap_err();
}

#[test]
fn a_capacity_accepted_beside_a_new_layout_is_accepted_with_it() {
    let base = lock([map(V1)]);
    let objects = observed([with(map(V2), |def| def.max_entries = 64)]);
    let new = accept(&base, &objects, "m", OnUpgrade::Migrate, "why", &levels()).unwrap();
    assert_eq!(new.maps["m"].epochs[0].max_entries, Some(64));
    let check = diff(&base, &new);
    assert!(!check.has_breaks());
    let must_fit = check.maps[0].must_fit.map(|must_fit| must_fit.to_string());
    assert_eq!(must_fit.as_deref(), Some("refused on a node with more than 64 entries"));
    let mut smaller = new;
    smaller.maps.get_mut("m").unwrap().def.max_entries = 32;
    let check = diff(&base, &smaller);
    let open: Vec<_> =
        check.findings.iter().filter(|finding| finding.is_break()).map(|finding| finding.rule.id).collect();
    assert_eq!(open, ["max-entries-decreased"]);
}

#[test]
fn a_capacity_that_shrank_twice_is_accepted_for_those_who_skip_a_release() {
    let with_entries = |entries| with(map(V1), |def| def.max_entries = entries);
    let base = lock([with_entries(1024)]);
    let step = |before: &Lock, entries| {
        accept(before, &observed([with_entries(entries)]), "m", OnUpgrade::Swap, "why", &levels()).unwrap()
    };
    let (v2, v3) = (step(&base, 512), step(&step(&base, 512), 64));
    for (from, to) in [(&base, &v2), (&v2, &v3), (&base, &v3)] {
        assert!(!diff(from, to).has_breaks());
    }
}

#[test]
fn of_several_shrinks_those_count_that_a_node_has_before_it() {
    let of = |max_entries| with(map(V1), |def| def.max_entries = max_entries);
    let v1 = lock([of(100)]);
    let v2 = accept(&v1, &observed([of(50)]), "m", OnUpgrade::Swap, "it can be rebuilt", &levels()).unwrap();
    let v3 = accept(&v2, &observed([of(25)]), "m", OnUpgrade::Migrate, "never that full", &levels()).unwrap();
    for (entries, disposition) in [(25, Disposition::Reuse), (50, Disposition::Migrate), (100, Disposition::Swap)] {
        assert_eq!(verdict(&lock([of(entries)]), &v3).disposition, disposition, "{entries}");
    }
    // A daemon that asks for more than the lock does.
    let mut larger = v3;
    larger.maps.get_mut("m").unwrap().def.max_entries = 60;
    assert_eq!(verdict(&v1, &larger).disposition, Disposition::Swap);
}

#[test]
fn an_answer_beside_a_change_that_keeps_every_byte_is_none_to_the_next_such_change() {
    let of = |value, max_entries| with(map(value), |def| def.max_entries = max_entries);
    let mut strict = levels();
    strict.set(&rules::TYPE_SPELLING_CHANGED, Level::Deny);
    strict.set(&rules::MAX_ENTRIES_INCREASED, Level::Deny);
    let v1 = lock([of("struct a { u32 n; };", 100)]);
    let shrunk = observed([of("struct b { u32 n; };", 50)]);
    let v2 = accept(&v1, &shrunk, "m", OnUpgrade::Swap, "it can be rebuilt", &strict).unwrap();
    assert_eq!(v2.maps["m"].epochs[0].rules, ["max-entries-decreased", "type-spelling-changed"]);
    let v3 = update(&v2, &observed([of("struct d { u32 n; };", 200)]), &levels()).unwrap();
    assert_eq!(verdict(&v1, &v2).disposition, Disposition::Swap);
    for levels in [strict, levels()] {
        let comparison = compare(&v2, &v3, &levels);
        assert_eq!(comparison.maps[0].disposition, Disposition::Grow, "{:?}", lines(&comparison));
    }
}

#[test]
fn a_capacity_that_is_set_at_run_time_stands_in_no_conversions_way() {
    let of = |value, max_entries| with(map(value), |def| def.max_entries = max_entries);
    for entries in [0, 1024] {
        let v1 = lock([of("struct v { u32 n; };", entries)]);
        let wider = observed([of("struct v { u64 n; };", 0)]);
        let v2 = accept(&v1, &wider, "m", OnUpgrade::Migrate, "counters to 64 bits", &levels()).unwrap();
        maplock_layout::epochs::convert(&v2, "m", None).unwrap();
        let verdict = verdict(&v1, &v2);
        assert_eq!((verdict.disposition, verdict.cannot.as_slice()), (Disposition::Migrate, [].as_slice()));
    }
}

// Epochs that lead nowhere.

#[test]
fn an_epoch_that_leads_nowhere_is_reported_and_dropped_by_the_next_update() {
    let mut stale = accepted(&lock([map(V1)]), V2, OnUpgrade::Migrate, "why");
    stale.maps.get_mut("m").unwrap().def = map(V4);
    let found = diff(&stale, &stale);
    let [finding] = found.findings.as_slice() else { panic!("{:?}", lines(&found)) };
    assert_eq!((finding.rule, finding.level), (&rules::STALE_EPOCH, Level::Warn));
    assert_eq!(
        finding.message(),
        format!(
            "the change from {} to {} was accepted, and nothing leads on from there to today's {}",
            map(V1).digest().short(),
            map(V2).digest().short(),
            map(V4).digest().short()
        )
    );
    let clean = updated(&stale, V4);
    assert!(clean.maps["m"].epochs.is_empty());
    assert_eq!(lines(&diff(&clean, &clean)), [""; 0]);
}

#[test]
fn an_epoch_on_the_way_is_not_stale() {
    let mut current = lock([map(V1)]);
    for value in [V2, V3, V4] {
        current = accepted(&current, value, OnUpgrade::Swap, "why");
    }
    assert_eq!(lines(&diff(&current, &current)), [""; 0]);
    assert_eq!(updated(&current, V4).to_string(), current.to_string());
}

#[test]
fn a_long_history_is_followed_quickly() {
    let check = support::quickly(|| {
        let mut current = lock([map("struct v { u64 n0; };")]);
        let base = current.clone();
        for release in 1..300 {
            current = accepted(&current, &format!("struct v {{ u64 n{release}; }};"), OnUpgrade::Reuse, "renamed");
        }
        assert_eq!(current.maps["m"].epochs.len(), 299);
        diff(&base, &current)
    });
    assert!(!check.has_breaks());
    assert_eq!(check.maps[0].disposition, Disposition::Reuse);
}

#[test]
fn a_history_of_thousands_of_epochs_is_walked_once() {
    let stale = support::quickly(|| {
        let last = 3000;
        let digest = |release: u32| Digest::parse(&format!("{release:032x}")).unwrap();
        let one = accepted(&lock([map(V1)]), V2, OnUpgrade::Migrate, "why");
        let step =
            |release| Epoch { from: digest(release), to: digest(release + 1), ..one.maps["m"].epochs[0].clone() };
        let today = one.maps["m"].def.digest();
        let mut long = one.clone();
        let epochs = &mut long.maps.get_mut("m").unwrap().epochs;
        *epochs = (0..last).map(step).collect();
        epochs.last_mut().unwrap().to = today;
        epochs.push(step(last + 7));
        diff(&one, &long).findings.len()
    });
    assert_eq!(stale, 1, "all but the last lead on");
}

#[test]
fn the_inner_map_of_a_map_is_accepted_with_it() {
    let outer = |value| {
        let mut def = MapDef::new("m", MapType::HASH_OF_MAPS);
        (def.key_size, def.value_size, def.max_entries) = (4, 4, 8);
        def.inner = Some(Box::new(map(value)));
        def.key = Some(Arc::clone(map("u32").key.as_ref().unwrap()));
        def
    };
    let base = lock([outer(V1)]);
    let new = accept(&base, &observed([outer(V2)]), "m", OnUpgrade::Swap, "why", &levels()).unwrap();
    let again = Lock::parse(&new.to_string()).unwrap();
    assert!(diff(&base, &lock([outer(V2)])).has_breaks());
    assert!(!diff(&base, &again).has_breaks());
}

// Ways around.

#[test]
fn steps_that_nobody_looked_at_do_not_add_up_to_an_acceptance() {
    for [one, two, three] in [
        [
            "enum kind { A, B }; struct v { enum kind k; };",
            "struct v { u32 k; };",
            "enum kind { B, A }; struct v { enum kind k; };",
        ],
        ["struct v { u64 packets; };", "u64", "struct v { u64 drops; };"],
    ] {
        let v1 = lock([map(one)]);
        let v3 = updated(&updated(&v1, two), three);
        assert!(v3.maps["m"].epochs.iter().all(|epoch| epoch.is_bridge()));
        assert!(diff(&v1, &v3).has_breaks(), "{one}\n{three}");
    }
}

#[test]
fn a_map_that_was_not_pinned_for_a_while_is_held_against_what_it_was_when_it_was() {
    let v1 = lock([map(V1)]);
    let unpinned = |value: &str| {
        let mut objects = observed([map(value)]);
        objects.lock.maps.get_mut("m").unwrap().ephemeral = true;
        objects
    };
    let mut now = accept(&v1, &unpinned(V1), "m", OnUpgrade::Swap, "kept in memory now", &levels()).unwrap();
    for value in [V2, V4] {
        now = update(&now, &unpinned(value), &levels()).unwrap();
        assert_eq!(now.maps["m"].epochs.len(), 1, "what is not pinned has no history");
    }
    let pinned = updated(&now, V4);
    assert!(diff(&v1, &pinned).has_breaks());
}

#[test]
fn an_accepted_shrinking_does_not_cover_one_from_a_larger_capacity() {
    let of = |max_entries| with(map(V1), |def| def.max_entries = max_entries);
    let small = accept(&lock([of(128)]), &observed([of(64)]), "m", OnUpgrade::Swap, "rarely full", &levels()).unwrap();
    assert!(!diff(&lock([of(128)]), &small).has_breaks());
    assert!(diff(&lock([of(8192)]), &small).has_breaks());
    let large = update(&small, &observed([of(8192)]), &levels()).unwrap();
    assert!(large.maps["m"].epochs.is_empty(), "there is nothing left that it accepts");
}

#[test]
fn of_two_answers_to_one_step_the_newer_counts() {
    let v1 = lock([map(V1)]);
    let there = accepted(&v1, V2, OnUpgrade::Swap, "one");
    let back = accepted(&there, V1, OnUpgrade::Swap, "back");
    let again = accepted(&back, V2, OnUpgrade::Migrate, "two");
    assert_eq!(verdict(&v1, &again).disposition, Disposition::Migrate);
}

#[test]
fn what_is_accepted_beside_a_capacity_at_run_time_accepts_no_smaller_one() {
    let old = map("u32");
    let now = observed([MapDef { max_entries: 0, ..map("u64") }]);
    let lock = lock([old]);
    let lock = accept(&lock, &now, "m", OnUpgrade::Swap, "because", &Levels::default()).unwrap();
    assert_eq!(lock.maps["m"].epochs[0].max_entries, None);
}

#[test]
fn flags_that_the_daemon_sets_are_compared_with_none() {
    let of = |flags, runtime_flags| {
        let mut lock = lock([with(map("u32"), |def| def.flags = flags)]);
        lock.maps.values_mut().for_each(|map| map.runtime_flags = runtime_flags);
        lock
    };
    // From the first lock that says so, which is found again by those before.
    let (before, now) = (of(1, false), Observation { lock: of(0, true), ..Observation::default() });
    assert_eq!(lines(&diff(&before, &now.lock)), [""; 0]);
    let updated = update(&before, &now, &levels()).unwrap();
    let [bridge] = updated.maps["m"].epochs.as_slice() else { panic!("{updated}") };
    assert!(bridge.is_bridge() && (bridge.from, bridge.to) == (digest(&before), digest(&updated)), "{updated}");
    assert!(!diff(&before, &updated).has_breaks());
    // Others decide what the map can be used for.
    let found = lines(&diff(&now.lock, &of(0x80, true)));
    assert_eq!(found, ["flags-changed m: 0 -> BPF_F_RDONLY_PROG"]);
}

fn digest(lock: &Lock) -> Digest {
    lock.maps["m"].def.digest()
}
