//! Capacities that the daemon sets.

use super::*;

/// Without a capacity, for example if the object has none.
fn at_run_time(def: &MapDef) -> Lock {
    let mut lock = lock([MapDef { max_entries: 0, ..def.clone() }]);
    lock.maps.values_mut().for_each(|map| map.runtime_capacity = true);
    lock
}

fn most(max_entries: u32) -> Policy {
    Policy { max_entries: Some(max_entries), ..Policy::default() }
}

const UNTOLD: &str = "maps.lock says no capacity, because the daemon chooses it: set `Policy::max_entries`, or plan with `--max-entries stats=N`";

#[test]
fn where_nothing_is_pinned_and_nobody_says_it_no_map_is_made() {
    for map_type in [T::HASH, T::ARRAY, T::STACK_TRACE, T::RINGBUF, T::LRU_HASH] {
        let asked = def("stats", map_type, &uint(8), 64);
        let case = || Case { lock: at_run_time(&asked), ..Case::default() };
        let map = case().decide();
        assert_is(&map, D::Refuse, UNTOLD);
        assert_eq!(super::asked(&map), 0);
        assert_is(&case().policy(most(4096)).decide(), D::Create, "not pinned here");
    }
    // As many as the machine has CPUs.
    let asked = def("stats", T::PERF_EVENT_ARRAY, &uint(4), 0);
    assert_is(&Case { lock: lock([asked]), ..Case::default() }.decide(), D::Create, "not pinned here");
}

#[test]
fn a_pinned_map_stays_as_large_as_it_is() {
    let old = hash(&counters(8), 4096);
    let case = || Case { lock: at_run_time(&old), live: vec![pinned(&old, 7, 12)], ..Case::default() };
    let map = case().decide();
    assert_is(&map, D::Reuse, "same layout; max_entries stays at 4096: nobody gives another");
    assert_eq!(asked(&map), 4096);
    assert_is(&case().policy(most(4096)).decide(), D::Reuse, "same layout");
    assert_is(&case().policy(most(8192)).decide(), D::Grow, "max_entries 4096 -> 8192, every entry kept");
    // What the daemon's own policy lowered is told as such, whatever becomes of it.
    let lowered = case().policy(most(64)).decide();
    assert_is(&lowered, D::Reuse, "same layout; max_entries stays at 4096: the daemon's policy asks for 64");
    assert_eq!(asked(&lowered), 4096);
    let refused = case().policy(Policy { larger: OnMismatch::Refuse, ..most(64) }).decide();
    assert_is(&refused, D::Refuse, "holds up to 4096 entries, the daemon's policy asks for 64");
}

#[test]
fn a_map_that_is_converted_or_swapped_has_room_for_as_many() {
    let (old, new) = (hash(&counters(4), 4096), hash(&counters(8), 0));
    for (answer, disposition) in [(OnUpgrade::Migrate, D::Migrate), (OnUpgrade::Swap, D::Swap)] {
        let map = Case::accepted(&MapDef { max_entries: 0, ..old.clone() }, &new, answer);
        let map = Case { live: vec![pinned(&old, 7, 12)], ..map }.decide();
        assert_eq!((map.disposition(), asked(&map)), (disposition, 4096), "{}", map.why);
        assert!(map.why.ends_with("; max_entries stays at 4096: nobody gives another"), "{}", map.why);
    }
    // Entries of one type are not bytes of another.
    let ring = MapDef { max_entries: 0, ..def("stats", T::RINGBUF, &uint(8), 0) };
    let map = Case::one(&old, &ring).policy(policy(OnMismatch::Swap)).decide();
    assert_eq!(map.disposition(), D::Refuse);
    assert!(map.why.ends_with(UNTOLD), "{}", map.why);
}

#[test]
fn where_the_object_says_it_again_a_larger_map_stays_and_a_smaller_one_grows() {
    let asked_for = hash(&counters(8), 1024);
    let mut again = lock([asked_for.clone()]);
    again.maps.values_mut().for_each(|map| map.runtime_capacity = true);
    let holds = |room| {
        let live = vec![pinned(&MapDef { max_entries: room, ..asked_for.clone() }, 7, 12)];
        Case { lock: again.clone(), live, ..Case::default() }
    };
    let map = holds(4096).decide();
    assert_is(&map, D::Reuse, "same layout; max_entries stays at 4096, as a daemon chose it: 1024 asked");
    assert_eq!(asked(&map), 4096);
    assert_is(&holds(64).decide(), D::Grow, "max_entries 64 -> 1024, every entry kept");
    let swap = holds(4096).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&swap, D::Swap, "holds up to 4096 entries, 1024 asked (policy: swap)");
    let never_so = Case::one(&MapDef { max_entries: 4096, ..asked_for.clone() }, &asked_for).decide();
    assert_is(&never_so, D::Reuse, "same layout; max_entries stays at 4096: 1024 asked");
}

#[test]
fn what_is_made_anew_has_the_room_that_is_asked_for() {
    let table = |max_entries| def("stats", T::PROG_ARRAY, &uint(4), max_entries);
    let map = Case { live: vec![untyped(&table(64), 7)], ..Case::one(&table(64), &table(8)) }.decide();
    assert_eq!((map.disposition(), asked(&map)), (D::Swap, 8), "{}", map.why);
}

#[test]
fn a_kept_map_is_returned_to_at_its_size() {
    let old = hash(&counters(8), 4096);
    let case = Case { lock: at_run_time(&old), ..Case::default() }.kept(&old);
    let map = case.decide();
    assert_is(&map, D::Reuse, "returns to the map kept since the last upgrade");
    assert_eq!(asked(&map), 4096);
    let other = hash(&counters(4), 4096);
    assert_is(&Case { lock: at_run_time(&old), ..Case::default() }.kept(&other).decide(), D::Refuse, UNTOLD);
}
