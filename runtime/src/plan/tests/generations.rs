//! What the live generation says of itself, what goes, and what comes back from the kept one.

use super::*;

#[test]
fn what_the_meta_map_says_a_map_counts_as_wins_over_its_making() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let case = Case::one(&old, &new);
    assert_eq!(case.decide().disposition(), D::Refuse);
    // As `inspect` tells it where the meta map names its id.
    let counts = Observed { source: Source::Meta, tells_version: true, ..pinned(&new, 7, 12) };
    assert_is(&Case { live: vec![counts], ..case }.decide(), D::Reuse, "same layout");
}

#[test]
fn only_maps_that_the_old_generation_names_are_dropped() {
    let (stats, old) = (hash(&counters(4), 64), MapDef { name: "old".to_owned(), ..hash(&counters(4), 64) });
    let mut case = Case::one(&stats, &stats);
    case.live.push(pinned(&old, 8, 3));
    let maps = [("old", 8), ("stats", 7), ("vanished", 9)];
    let maps = maps.map(|(name, id)| (name.to_owned(), MetaMap { id, max_entries: 64 })).into();
    case.meta = Some(Meta { maps, ..Meta::default() });
    let plan = case.plan();
    assert_eq!(plan.maps.len(), 2, "{plan}");
    let map = plan.map("old").expect("dropped");
    assert_is(map, D::Drop, "not in this release; kept for roll-back");
    assert_eq!((to(map), from(map)), (None, Some(old.digest())));
    assert_eq!(map.findings[0].rule.id, "map-removed");
    assert!(map.action.loses_entries());
    assert!(plan.outcome().starts_with("given up: 3 entries of old · "), "{plan}");
    for deny in [D::Drop, D::Swap] {
        assert_eq!(plan.denied(&[deny]).map(|map| map.map.as_str()).collect::<Vec<_>>(), ["old"], "{deny}");
    }
    case.live[1].entries = Some(0);
    let plan = case.plan();
    assert!(plan.outcome().starts_with("nothing is lost"), "{plan}");
    assert_eq!((plan.denied(&[D::Drop]).count(), plan.denied(&[D::Swap]).count()), (1, 0));
}

#[test]
fn a_map_that_somebody_pinned_under_the_name_of_one_that_goes_is_told_with_its_entries() {
    let (stats, old) = (hash(&counters(4), 64), MapDef { name: "old".to_owned(), ..hash(&counters(4), 64) });
    let mut case = Case::one(&stats, &stats);
    case.live.push(pinned(&old, 10, 3));
    let maps = [("old", 8), ("stats", 7)].map(|(name, id)| (name.to_owned(), MetaMap { id, max_entries: 64 })).into();
    case.meta = Some(Meta { maps, ..Meta::default() });
    let plan = case.plan();
    let why = "not in this release; somebody else pinned this map under its name; kept for roll-back";
    assert_is(plan.map("old").expect("it goes with the generation"), D::Drop, why);
    assert!(plan.outcome().starts_with("given up: 3 entries of old · "), "{plan}");
    assert_eq!((plan.denied(&[D::Drop]).count(), plan.denied(&[D::Swap]).count()), (1, 1));
}

#[test]
fn a_map_beside_the_releases_own_is_left_behind_where_nothing_says_whose_it_is() {
    let (stats, old) = (hash(&counters(4), 64), MapDef { name: "old".to_owned(), ..hash(&counters(4), 64) });
    let mut case = Case::one(&stats, &stats);
    case.live.push(pinned(&old, 8, 1));
    let plan = case.plan();
    let why = "not in this release, and nothing says whose it is; its pin stays, its entries are left behind";
    assert_is(plan.map("old").expect("it is there"), D::Drop, why);
    assert!(plan.outcome().starts_with("given up: 1 entry of old · "), "{plan}");
    assert_eq!(plan.denied(&[D::Swap]).count(), 1);
    // A table that its loader fills holds nothing that could be lost.
    let table = MapDef { map_type: T::PROG_ARRAY, key: None, value: None, value_size: 4, ..old };
    case.live[1] = pinned(&table, 8, 1);
    let plan = case.plan();
    assert!(plan.outcome().starts_with("nothing is lost"), "{plan}");
    assert_eq!((plan.denied(&[D::Drop]).count(), plan.denied(&[D::Swap]).count()), (1, 0));
}

#[test]
fn the_same_release_on_its_own_maps_leaves_the_kept_generation() {
    let (stats, older) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let asked = |max_entries| {
        let maps = [("stats".to_owned(), MetaMap { id: 7, max_entries })].into();
        Some(Meta { maps, ..Meta::default() })
    };
    let case = |max_entries| Case { meta: asked(max_entries), ..Case::one(&stats, &stats) }.kept(&older);
    let plan = case(64).plan();
    assert!(plan.leaves_kept && plan.outcome().contains("the kept generation stays"), "{plan}");
    // Nothing is kept that could stay.
    let alone = Case { meta: asked(64), ..Case::one(&stats, &stats) };
    assert!(!alone.plan().leaves_kept);
    // Another capacity was asked for, though the map has this one.
    assert!(!case(32).plan().leaves_kept);
    // Somebody else's pins.
    assert!(!Case::one(&stats, &stats).kept(&older).plan().leaves_kept);
    let grown = hash(&counters(4), 128);
    let grows = Case { meta: asked(64), ..Case::one(&stats, &grown) }.kept(&older);
    assert!(!grows.plan().leaves_kept);
    // A larger map that is used as it is, is what it was at the start before.
    let larger = Case { meta: asked(64), ..Case::one(&grown, &stats) }.kept(&older);
    assert!(larger.plan().leaves_kept);
    // One map more, or less.
    let mut goes = case(64);
    goes.live.push(pinned(&MapDef { name: "old".to_owned(), ..stats.clone() }, 8, 0));
    let old = MetaMap { id: 8, max_entries: 64 };
    goes.meta.as_mut().expect("it has one").maps.insert("old".to_owned(), old);
    assert!(!goes.plan().leaves_kept);
}

#[test]
fn a_table_that_its_loader_fills_at_each_start_leaves_the_kept_generation_too() {
    let table =
        |map_type, max_entries| MapDef { name: "table".to_owned(), ..def("stats", map_type, &uint(4), max_entries) };
    let stats = hash(&counters(4), 64);
    let case = |old: &MapDef, new: &MapDef, id, max_entries| {
        let maps = [("stats", 7, 64), ("table", id, max_entries)];
        let maps = maps.map(|(name, id, max_entries)| (name.to_owned(), MetaMap { id, max_entries })).into();
        let case = Case { meta: Some(Meta { maps, ..Meta::default() }), ..Case::one(&stats, &stats) };
        let live = vec![pinned(&stats, 7, 12), untyped(old, 8)];
        Case { lock: lock([stats.clone(), new.clone()]), live, ..case }.kept(&stats).plan()
    };
    for map_type in [T::PROG_ARRAY, T::PERF_EVENT_ARRAY] {
        let (small, large) = (table(map_type, 8), table(map_type, 16));
        let plan = case(&small, &small, 8, 8);
        assert!(plan.leaves_kept && plan.map("table").expect("asked for").disposition() == D::Swap, "{plan}");
        assert!(!case(&small, &large, 8, 8).leaves_kept, "more is asked for");
        assert!(!case(&small, &small, 9, 8).leaves_kept, "it is another one");
    }
    // A buffer that is swapped has events in it that nobody has read yet.
    let ring = |max_entries| MapDef { max_entries, pinning: Pinning::ByName, ..MapDef::new("table", T::RINGBUF) };
    assert!(!case(&ring(4096), &ring(8192), 8, 8192).leaves_kept);
}

#[test]
fn a_map_of_another_layout_gives_way_to_the_kept_one_that_fits() {
    let (newer, older) = (hash(&counters(8), 64), hash(&counters(4), 64));
    let map = Case::one(&newer, &older).kept(&older).decide();
    let why = "returns to the map kept since the last upgrade; 12 entries of the live one not carried back";
    assert_is(&map, D::Reuse, why);
    assert!(matches!(map.action, Action::TakeBack { since: Since::Left { loses_entries: true, .. }, .. }));
    assert_eq!(map.action.source(), Some((Path::new("/bpf/mesh@prev/stats"), 3)));
    // Members that only the newer layout has don't go back.
    let ways_back = ["stats".to_owned()].into();
    let plan = Case { ways_back, ..Case::one(&newer, &older).kept(&older) }.plan();
    let told = "what the older layout of `stats` has no place for does not go back";
    assert!(plan.outcome().starts_with(told) && !plan.outcome().contains("nothing is lost"), "{plan}");
    // One that is not exactly what is asked for is left alone.
    let map = Case::one(&newer, &older).kept(&hash(&counters(4), 32)).decide();
    assert_eq!((map.disposition(), map.action.returns_to_kept()), (D::Refuse, false));
}

#[test]
fn a_larger_map_gives_way_to_the_kept_one_where_its_entries_fit() {
    let (newer, older) = (hash(&counters(4), 4096), hash(&counters(4), 64));
    let mut case = Case::one(&newer, &older).kept(&older).policy(policy(OnMismatch::Refuse));
    let map = case.decide();
    assert_is(&map, D::Reuse, "returns to the kept map of 64, 12 entries carried back");
    assert!(matches!(map.action, Action::CarryBack { .. }));
    assert!(carry(&map).snapshot > 0 && !map.estimate().is_zero());
    case.live[0].entries = Some(65);
    let why = "holds up to 4096 entries, 64 asked; 65 entries don't fit the kept map";
    assert_is(&case.decide(), D::Refuse, why);
    case.live[0].entries = None;
    assert_is(&case.decide(), D::Reuse, "returns to the kept map of 64, entries carried back if they fit");
    // Unless that is asked for, the larger one stays.
    let map = case.policy(Policy::default()).decide();
    assert_eq!((map.disposition(), map.action.returns_to_kept(), id(&map)), (D::Reuse, false, Some(7)));
}

#[test]
fn a_map_that_came_back_is_taken_from_the_kept_generation() {
    let def = hash(&counters(4), 64);
    let case = Case { lock: lock([def.clone()]), ..Case::default() }.kept(&def);
    let map = case.decide();
    assert_is(&map, D::Reuse, "returns to the map kept since the last upgrade");
    assert_eq!((map.action.returns_to_kept(), id(&map)), (true, Some(3)));
}

#[test]
fn a_kept_map_does_not_replace_a_live_one_that_fits() {
    let def = hash(&counters(4), 64);
    let map = Case::one(&def, &def).kept(&def).decide();
    assert_eq!((map.action.returns_to_kept(), id(&map)), (false, Some(7)));
    let map = Case::one(&def, &hash(&counters(4), 128)).kept(&hash(&counters(4), 128)).decide();
    assert_eq!((map.disposition(), map.action.returns_to_kept()), (D::Grow, false));
}

#[test]
fn what_stays_behind_in_a_larger_map_that_cannot_be_copied_is_lost_though_its_layout_is_the_same() {
    let keyless =
        |map_type, max_entries| MapDef { key: None, key_size: 0, ..def("stats", map_type, &uint(8), max_entries) };
    let of_maps =
        |max_entries| MapDef { value: None, value_size: 4, ..def("stats", T::HASH_OF_MAPS, &uint(4), max_entries) };
    let larger_and_kept =
        [T::QUEUE, T::STACK].map(|map_type| (keyless(map_type, 128), keyless(map_type, 64))).into_iter();
    for (larger, kept) in larger_and_kept.chain([(of_maps(128), of_maps(64))]) {
        let returns = || Case::one(&larger, &kept).kept(&kept).policy(policy(OnMismatch::Refuse));
        let plan = returns().plan();
        let why = "returns to the map kept since the last upgrade; 12 entries of the live one not carried back";
        assert_is(&plan.maps[0], D::Reuse, why);
        assert_eq!(from(&plan.maps[0]), to(&plan.maps[0]), "the capacity is no part of it");
        assert!(plan.outcome().starts_with("lost: 12 entries of stats · "), "{plan}");
        assert_eq!(plan.denied(&[D::Swap]).count(), 1, "{plan}");
        // An empty one leaves nothing behind.
        let mut empty = returns();
        empty.live[0].entries = Some(0);
        assert!(empty.plan().outcome().starts_with("nothing is lost"));
    }
}
