//! What becomes of entries by the type of their map and by what its values hold.

use super::*;

#[test]
fn tables_that_loaders_fill_are_made_anew_and_nothing_is_lost() {
    for map_type in [T::PROG_ARRAY, T::PERF_EVENT_ARRAY, T::CGROUP_ARRAY] {
        let def = def("stats", map_type, &uint(4), 8);
        for new in [def.clone(), MapDef { max_entries: 16, ..def.clone() }, MapDef { max_entries: 4, ..def.clone() }] {
            let case = Case { live: vec![untyped(&def, 7)], ..Case::one(&def, &new) };
            let plan = case.plan();
            assert_is(&plan.maps[0], D::Swap, "filled anew by the new programs; the old ones keep theirs");
            assert!(!plan.maps[0].action.loses_entries());
            assert_eq!(plan.denied(&[D::Swap, D::Refuse]).count(), 0, "nothing to hold an upgrade back for");
        }
    }
}

#[test]
fn a_ring_buffer_that_grows_is_made_anew_and_the_old_one_is_kept() {
    let ring = |max_entries| MapDef { max_entries, pinning: Pinning::ByName, ..MapDef::new("stats", T::RINGBUF) };
    let map = Case::one(&ring(4096), &ring(8192)).decide();
    assert_is(&map, D::Swap, "4096 -> 8192 bytes; events not yet read stay in the old buffer, which is kept");
    assert!(!map.action.loses_entries());
    // 5000 bytes are 8192 in whole pages.
    assert_is(&Case::one(&ring(8192), &ring(5000)).decide(), D::Reuse, "same layout");
}

#[test]
fn a_ring_buffer_that_shrinks_again_stays_or_is_made_anew_as_the_policy_says() {
    let ring = |max_entries| MapDef { max_entries, pinning: Pinning::ByName, ..MapDef::new("stats", T::RINGBUF) };
    let map = Case::one(&ring(8192), &ring(4096)).decide();
    assert_is(&map, D::Reuse, "same layout; max_entries stays at 8192: 4096 asked");
    let map = Case::one(&ring(8192), &ring(4096)).policy(policy(OnMismatch::Refuse)).decide();
    assert_is(&map, D::Swap, "8192 -> 4096 bytes; events not yet read stay in the old buffer, which is kept");
}

#[test]
fn an_lru_without_slack_may_drop_entries_and_says_so() {
    let lru = |max_entries| def("stats", T::LRU_HASH, &counters(4), max_entries);
    // 12 entries, and 128 for each of two CPUs.
    let reads = ProgramUse::default();
    let plan = Case::one(&lru(64), &lru(12 + 256 - 1)).known(&reads, &reads).plan();
    assert_is(&plan.maps[0], D::Grow, "max_entries 64 -> 267; an LRU this full may drop some entries");
    let last = plan.to_string().lines().last().map(str::to_owned);
    assert_eq!(last.as_deref(), Some("may drop entries: stats · under 1 ms · traffic keeps running"));
    let map = Case::one(&lru(64), &lru(12 + 256)).decide();
    assert_is(&map, D::Grow, "max_entries 64 -> 268, every entry kept");
    assert!(!carry(&map).may_drop_entries);
}

#[test]
fn it_is_the_map_that_entries_go_to_which_may_drop_some() {
    let of = |map_type| def("stats", map_type, &counters(4), 64);
    let map = Case::accepted(&of(T::LRU_HASH), &of(T::HASH), OnUpgrade::Migrate).decide();
    assert_eq!((map.disposition(), carry(&map).may_drop_entries), (D::Migrate, false), "{}", map.why);
    let map = Case::accepted(&of(T::HASH), &of(T::LRU_HASH), OnUpgrade::Migrate).decide();
    assert_eq!((map.disposition(), carry(&map).may_drop_entries), (D::Migrate, true), "{}", map.why);
}

#[test]
fn an_array_that_shrinks_is_not_refused_for_being_full() {
    let array = |max_entries| def("stats", T::ARRAY, &counters(4), max_entries);
    let mut case = Case::accepted(&array(64), &array(16), OnUpgrade::Migrate);
    case.live = vec![pinned(&array(64), 7, 64)];
    // The copy finds out whether what lies behind the new end is zero.
    let map = case.decide();
    assert_eq!(map.disposition(), D::Migrate);
    assert!(map.why.ends_with("; refused if an entry from index 16 on is not zero"), "{}", map.why);
    let hash = |max_entries| def("stats", T::HASH, &counters(4), max_entries);
    let mut case = Case::accepted(&hash(64), &hash(16), OnUpgrade::Migrate);
    case.live = vec![pinned(&hash(64), 7, 64)];
    assert_is(&case.decide(), D::Refuse, "64 entries don't fit into 16");
    // There was no time to count them.
    case.live[0].entries = None;
    let map = case.decide();
    assert_eq!(map.disposition(), D::Migrate);
    assert!(map.why.ends_with("; refused if there are more than 16"), "{}", map.why);
}

#[test]
fn a_map_that_cannot_be_copied_keeps_its_size() {
    let bloom = |max_entries| MapDef { key: None, key_size: 0, ..def("stats", T::BLOOM_FILTER, &uint(8), max_entries) };
    let map = Case::one(&bloom(64), &bloom(128)).decide();
    let why = "max_entries stays at 64: entries of a bloom_filter can't be copied: a bloom filter does not tell what was added to it";
    assert_is(&map, D::Reuse, why);
    assert_eq!(asked(&map), 64);
    let storage = |width| MapDef { flags: 1, ..def("stats", T::SK_STORAGE, &counters(width), 0) };
    let mut case = Case::accepted(&storage(4), &storage(8), OnUpgrade::Swap);
    // No gate takes this, but a lock may say it.
    case.lock.maps.get_mut("stats").expect("locked").epochs[0].on_upgrade = OnUpgrade::Migrate;
    let map = case.decide();
    assert_eq!(map.disposition(), D::Refuse);
    assert!(map.why.starts_with("entries of a sk_storage can't be copied"), "{}", map.why);
}

#[test]
fn values_with_timers_cannot_be_copied_and_those_with_locks_can() {
    let with = |name| {
        let inner = structure(name, 16, &[("opaque", 0, array(&uint(8), 2))]);
        structure("stats", 24, &[("field", 0, inner), ("packets", 16, uint(8))])
    };
    let kptr = Arc::new(Layout::new(8, Shape::Pointer { target: "kptr struct task_struct".into() }));
    let kptr = structure("stats", 16, &[("task", 0, kptr), ("packets", 8, uint(8))]);
    let plain = Arc::new(Layout::new(8, Shape::Pointer { target: "struct task_struct".into() }));
    let plain = structure("stats", 16, &[("task", 0, plain), ("packets", 8, uint(8))]);
    for (value, grows) in [
        (with("bpf_timer"), false),
        (with("bpf_list_head"), false),
        (array(&with("bpf_rb_root"), 2), false),
        (kptr, false),
        (with("bpf_spin_lock"), true),
        (plain, true),
    ] {
        let map = Case::one(&hash(&value, 64), &hash(&value, 128)).decide();
        assert_eq!(map.disposition() == D::Grow, grows, "{}: {}", value.spelling(), map.why);
    }
}

#[test]
fn summed_members_become_offsets_and_all_entries_are_remembered() {
    let cell = structure("cell", 16, &[("bytes", 0, uint(8)), ("frames", 8, uint(4))]);
    let value = structure("stats", 40, &[("packets", 0, uint(8)), ("cells", 8, array(&cell, 2))]);
    let case = |sum: &[&str]| {
        let sum = sum.iter().map(|path| (*path).to_owned()).collect();
        Case::one(&hash(&value, 64), &hash(&value, 128)).policy(Policy { sum, ..Policy::default() }).decide()
    };
    let map = case(&["packets", "cells[].bytes"]);
    let sum = |offset, width| Sum { offset, width, signed: false };
    assert_eq!(carry(&map).sums, [sum(0, 8), sum(8, 8), sum(24, 8)]);
    assert!(carry(&map).snapshot > 0);
    // Bytes 20 to 24 of each cell are padding.
    let map = case(&["packets", "cells[].bytes", "cells[].frames"]);
    assert_eq!(carry(&map).sums, [sum(0, 8), sum(8, 8), sum(16, 4), sum(24, 8), sum(32, 4)]);
    let all = structure("all", 16, &[("packets", 0, uint(8)), ("bytes", 8, uint(8))]);
    let sum = Policy { sum: vec!["packets".to_owned(), "bytes".to_owned()], ..Policy::default() };
    let map = Case::one(&hash(&all, 64), &hash(&all, 128)).policy(sum).decide();
    assert!(carry(&map).snapshot > 0, "a sum is settled by the difference");
}

#[test]
fn the_estimate_knows_how_large_values_are() {
    let of = |bytes: u32| {
        let value = structure("large", bytes.into(), &[("words", 0, array(&uint(8), bytes / 8))]);
        Case::one(&hash(&value, 64), &hash(&value, 128)).decide().estimate()
    };
    assert!(of(128 << 10) > of(64) * 100 && of(64) == of(16));
}

#[test]
fn a_value_that_is_one_integer_or_an_array_of_them_can_be_summed() {
    let sums = |value: &Arc<Layout>, path: &str| {
        crate::plan::sums::resolve(Some(value), &BTreeSet::from([path.to_owned()])).expect("integers")
    };
    assert_eq!(sums(&uint(8), "value"), [Sum { offset: 0, width: 8, signed: false }]);
    let gauge = Arc::new(Layout::new(4, Shape::Int(IntKind::Signed)));
    assert_eq!(sums(&gauge, "value"), [Sum { offset: 0, width: 4, signed: true }]);
    assert_eq!(sums(&array(&uint(4), 3), "value[]").len(), 3);
    assert_eq!(sums(&array(&array(&uint(4), 3), 2), "value[][]").len(), 6);
}

#[test]
fn what_cannot_be_summed_is_refused_with_the_member_and_its_type() {
    let bits = Member { name: "bits".into(), offset_bits: 64, bits: Some(3), layout: uint(4) };
    let mut members = vec![bits];
    for (name, offset, layout) in [
        ("flag", 0, Arc::new(Layout::new(4, Shape::Int(IntKind::Bool)))),
        ("small", 4, uint(2)),
        ("crooked", 14, uint(4)),
        ("counts", 20, array(&uint(4), 2)),
        ("either", 28, composite(CompositeKind::Union, "either", 4, &[("one", 0, uint(4)), ("other", 0, uint(4))])),
        ("ratio", 32, Arc::new(Layout::new(8, Shape::Float))),
    ] {
        members.push(Member { name: name.into(), offset_bits: offset * 8, bits: None, layout });
    }
    let value = Composite::new(CompositeKind::Struct, Some("odd".into()), members).expect("few members");
    let value = Arc::new(Layout::new(40, Shape::Composite(Arc::new(value))));
    // In the words of `sum_places`, which has tests of its own.
    for path in ["flag", "ratio", "small", "crooked", "counts", "bits", "either.one", "flag.more", "small[]", "none"] {
        let sum = Policy { sum: vec![path.to_owned()], ..Policy::default() };
        let problem = maplock_layout::sum_places(&value, path).expect_err("it can't be summed");
        let why = format!("`sum` names `{path}`: {problem}");
        assert_is(&Case::one(&hash(&value, 64), &hash(&value, 64)).policy(sum).decide(), D::Refuse, &why);
    }
}
