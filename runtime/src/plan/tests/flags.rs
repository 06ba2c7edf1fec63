//! Flags that the daemon sets.

use maplock_layout::map_type::FLAGS_OF_MEMORY;

use super::*;

const NO_PREALLOC: u32 = 1;
const RDONLY_PROG: u32 = 0x80;

fn at_run_time(def: &MapDef) -> Lock {
    let mut lock = lock([def.without_flags_of_memory()]);
    lock.maps.values_mut().for_each(|map| map.runtime_flags = true);
    lock
}

fn flags(map: &MapPlan) -> u32 {
    map.action.new_map().expect("asked for").def.flags
}

fn says(map_flags: u32) -> Policy {
    Policy { map_flags: Some(map_flags), ..Policy::default() }
}

#[test]
fn a_pinned_map_with_other_flags_is_used_as_it_is() {
    for chosen in [0, NO_PREALLOC, FLAGS_OF_MEMORY] {
        let old = MapDef { flags: chosen, ..hash(&counters(8), 64) };
        let case = Case { lock: at_run_time(&old), live: vec![pinned(&old, 7, 12)], ..Case::default() };
        assert_is(&case.decide(), D::Reuse, "same layout");
        assert_is(&case.policy(says(NO_PREALLOC)).decide(), D::Reuse, "same layout");
    }
    // What decides on what can be done with it is compared as ever, by its name.
    let old = MapDef { flags: RDONLY_PROG, ..hash(&counters(8), 64) };
    let lock = at_run_time(&hash(&counters(8), 64));
    let map = Case { lock, live: vec![pinned(&old, 7, 12)], ..Case::default() }.decide();
    assert_eq!(map.disposition(), D::Refuse);
    assert!(map.why.starts_with("map_flags of `stats` are 0, they were BPF_F_RDONLY_PROG; "), "{}", map.why);
}

#[test]
fn a_map_that_is_made_has_the_flags_of_the_policy_or_of_the_one_before() {
    let (old, larger) = (MapDef { flags: NO_PREALLOC, ..hash(&counters(8), 64) }, hash(&counters(8), 128));
    let grows = || Case { lock: at_run_time(&larger), live: vec![pinned(&old, 7, 12)], ..Case::default() };
    assert_eq!((grows().decide().disposition(), flags(&grows().decide())), (D::Grow, NO_PREALLOC));
    assert_eq!(flags(&grows().policy(says(0)).decide()), 0);
    let new = || Case { lock: at_run_time(&larger), ..Case::default() };
    assert_eq!(flags(&new().decide()), 0);
    let map = new().policy(says(NO_PREALLOC)).decide();
    assert_eq!((map.disposition(), flags(&map), to(&map)), (D::Create, NO_PREALLOC, Some(larger.digest())));
}

#[test]
fn one_of_before_the_flags_were_left_to_the_daemon_is_found_in_the_history() {
    let (old, new) = (MapDef { flags: NO_PREALLOC, ..hash(&counters(4), 64) }, hash(&counters(8), 64));
    let observed = Observation { lock: at_run_time(&new), ..Observation::default() };
    let lock =
        epochs::accept(&lock([old.clone()]), &observed, "stats", OnUpgrade::Migrate, "because", &Levels::default());
    let lock = lock.expect("a break");
    for flags in [NO_PREALLOC, 0] {
        let live = vec![pinned(&MapDef { flags, ..old.clone() }, 7, 12)];
        let map = Case { lock: lock.clone(), live, ..Case::default() }.decide();
        assert_eq!((map.disposition(), from(&map)), (D::Migrate, Some(old.digest())), "{}", map.why);
    }
}

#[test]
fn what_is_not_the_daemons_to_say_is_refused() {
    let old = hash(&counters(8), 64);
    let of =
        |lock: Lock, policy| Case { lock, live: vec![pinned(&old, 7, 12)], ..Case::default() }.policy(policy).decide();
    let why =
        "a policy sets BPF_F_RDONLY_PROG, which decides what the map can be used for; the object has to declare it";
    assert_is(&of(at_run_time(&old), says(RDONLY_PROG | NO_PREALLOC)), D::Refuse, why);
    let why = "a policy sets map_flags, which maps.lock has; `flags = \"runtime\"` in the configuration leaves them to the daemon";
    assert_is(&of(lock([old.clone()]), says(NO_PREALLOC)), D::Refuse, why);
}
