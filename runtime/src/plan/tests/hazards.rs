//! What may go wrong with entries that are carried over, by what programs do.

use super::super::{Doubt, Inexact, Overwritten};
use super::*;

fn paths(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Programs that add to those members and set these.
fn programs(adds: &[&str], sets: &[&str]) -> ProgramUse {
    ProgramUse { inserts: true, adds: paths(adds), sets: paths(sets), ..ProgramUse::default() }
}

fn grown(map_type: T, old: &ProgramUse, new: &ProgramUse) -> Case {
    let of = |max_entries| def("stats", map_type, &counters(8), max_entries);
    Case::one(&of(64), &of(128)).known(old, new)
}

fn summed(case: Case, sum: &[&str]) -> Case {
    case.policy(Policy { sum: sum.iter().map(|path| (*path).to_owned()).collect(), ..Policy::default() })
}

/// The last line, up to the estimate.
fn told(case: &Case) -> String {
    case.plan().outcome().split(" · ").next().unwrap_or_default().to_owned()
}

fn doubts(case: &Case) -> Vec<Doubt> {
    case.decide().hazard.doubts.into_iter().collect()
}

#[test]
fn a_counter_that_is_not_added_up_may_lose_what_old_programs_count_and_says_what_to_merge() {
    let counts = programs(&["packets"], &[]);
    let case = grown(T::HASH, &counts, &counts);
    let line =
        "every entry is kept; what old programs add to `packets` of `stats` until the switch may be lost: merge it";
    assert_eq!(told(&case), line);
    assert_eq!(case.plan().inexact().count(), 1);
    let map = &case.plan().to_json()["maps"][0];
    let overwritten = serde_json::json!({ "adds": ["packets"], "sets": [], "unknown": false });
    assert_eq!((&map["exact"], &map["overwritten"]), (&false.into(), &overwritten));
    let both = programs(&["packets", "seen"], &[]);
    let line = "every entry is kept; what old programs add to `packets` and `seen` of `stats` until the switch may be lost: merge \
                them";
    assert_eq!(told(&grown(T::HASH, &both, &both)), line);
    // Merged, only the other member is left, which both make anew.
    let both = summed(grown(T::HASH, &both, &both), &["packets", "seen"]);
    assert_eq!((told(&both), both.decide().hazard.is_none()), ("nothing is lost".to_owned(), true));
}

#[test]
fn what_this_kernel_settles_by_steps_that_can_lose_a_write_is_told_before() {
    let counts = programs(&["packets"], &[]);
    let mut plan = summed(grown(T::HASH, &counts, &counts), &["packets", "seen"]).plan();
    for (why, words) in [
        (Inexact::Kernel, "this kernel accepts no program that settles in one step"),
        (Inexact::NoWord, "no atomic instruction writes all bytes of such a value"),
        (
            Inexact::Lacks("CAP_PERFMON"),
            "this process lacks CAP_PERFMON, and programs that settle in one step were refused",
        ),
    ] {
        plan.maps[0].hazard.doubts = [Doubt::Settling(why)].into();
        let line = format!(
            "every entry is kept; what programs write to `stats` at the very moment of settling may be lost: {words}"
        );
        assert_eq!(plan.outcome().split(" · ").next(), Some(line.as_str()));
        assert_eq!(plan.inexact().map(MapPlan::why_inexact).collect::<Vec<_>>(), [plan.maps[0].hazards()]);
        let doubt = format!("a write at the very moment of settling may be lost: {words}");
        assert_eq!(plan.to_json()["maps"][0]["doubts"], serde_json::json!([doubt]));
    }
}

#[test]
fn a_member_that_programs_set_may_be_overwritten_where_new_ones_write_the_entry_too() {
    let sets = programs(&["packets"], &["seen"]);
    let case = || summed(grown(T::HASH, &sets, &sets), &["packets"]);
    let line = "every entry is kept; what old programs set in `seen` of `stats` until the switch may be overwritten";
    assert_eq!(told(&case()), line);
    // Programs that only read leave the old ones' writes alone.
    let reads = ProgramUse::default();
    assert_eq!(told(&summed(grown(T::HASH, &sets, &reads), &["packets"])), "nothing is lost");
    assert_eq!(told(&summed(grown(T::HASH, &reads, &sets), &["packets"])), "nothing is lost");
    // Both may make the same entry, with what it holds at first.
    let makes = programs(&["packets"], &[]);
    let line = "every entry is kept; entries of `stats` that both releases make around the switch are as the new one made them";
    assert_eq!(told(&summed(grown(T::HASH, &makes, &makes), &["packets"])), line);
    assert_eq!(told(&summed(grown(T::ARRAY, &makes, &makes), &["packets"])), "nothing is lost");
}

#[test]
fn what_is_converted_is_merged_by_where_its_count_was() {
    let of = |width| hash(&counters(width), 64);
    let counts = programs(&["packets", "seen"], &[]);
    let case = || Case::accepted(&of(4), &of(8), OnUpgrade::Migrate).known(&counts, &counts);
    assert_eq!(told(&summed(case(), &["packets", "seen"])), "nothing is lost");
    let line = "every entry is kept; what old programs add to `seen` of `stats` until the switch may be lost: merge it";
    assert_eq!(told(&summed(case(), &["packets"])), line);
}

#[test]
fn who_may_delete_is_told() {
    let sums = ["packets", "seen"];
    let (counts, deletes) = (programs(&sums, &[]), ProgramUse { deletes: true, ..programs(&sums, &[]) });
    let case = |old: &ProgramUse, new: &ProgramUse| summed(grown(T::HASH, old, new), &sums);
    let line = |because: &str| {
        format!(
            "every entry is kept; entries of `stats` that are deleted meanwhile may come back or keep a wrong count ({because})"
        )
    };
    assert_eq!(told(&case(&deletes, &counts)), line("old programs delete"));
    assert_eq!(told(&case(&counts, &deletes)), line("new programs delete"));
    let mut by_user = case(&counts, &counts);
    by_user.lock.maps.get_mut("stats").expect("it is there").user_never_deletes = false;
    assert_eq!(told(&by_user), line("user space may delete"));
    assert_eq!(doubts(&by_user), [Doubt::UserMayDelete]);
    let array = summed(grown(T::ARRAY, &deletes, &deletes), &sums);
    assert_eq!(told(&array), "nothing is lost");
    // A map that is used as it is can't lose anything, whoever writes it.
    let same = hash(&counters(8), 64);
    assert_eq!(told(&Case::one(&same, &same)), "nothing is lost");
}

#[test]
fn where_nothing_is_known_of_programs_the_plan_says_so() {
    let sums = ["packets", "seen"];
    let line = "every entry is kept; nothing says what all programs do with `stats`: what they write and delete meanwhile may be lost \
                or come back";
    // A generation of an older maplock, and a lock that nobody has looked at objects for.
    let of = |max_entries| hash(&counters(8), max_entries);
    let nobody = summed(Case::one(&of(64), &of(128)), &sums);
    assert_eq!(told(&nobody), line);
    let doubted = [Doubt::OldProgramsUnknown, Doubt::NewProgramsUnknown, Doubt::UserMayDelete];
    assert_eq!(doubts(&nobody), doubted);
    let partly = ProgramUse { partly: true, ..programs(&sums, &[]) };
    let case = summed(grown(T::HASH, &programs(&sums, &[]), &partly), &sums);
    assert_eq!((told(&case), doubts(&case)), (line.to_owned(), vec![Doubt::NewProgramsUnknown]));
    let case = grown(T::ARRAY, &partly, &programs(&[], &["seen"]));
    let overwritten = Overwritten { adds: paths(&sums), sets: paths(&[]), is_unknown: true };
    assert_eq!((told(&case), case.decide().hazard.overwritten), (line.to_owned(), Some(overwritten)));
}

#[test]
fn an_lru_is_exact_only_where_it_has_room_for_more() {
    let sums = ["packets", "seen"];
    let counts = programs(&sums, &[]);
    // 12 entries, and 128 more on each CPU.
    let of = |max_entries| def("stats", T::LRU_HASH, &counters(8), max_entries);
    let case = |room| summed(Case::one(&of(room), &of(4096)).known(&counts, &counts), &sums);
    assert_eq!(doubts(&case(12 + 256)), []);
    assert_eq!(doubts(&case(12 + 255)), [Doubt::Evicts]);
}

#[test]
fn an_array_that_becomes_a_hash_has_keys_that_can_go() {
    let sums = ["packets", "seen"];
    let (counts, deletes) = (programs(&sums, &[]), ProgramUse { deletes: true, ..programs(&sums, &[]) });
    let of = |map_type| def("stats", map_type, &counters(8), 64);
    let case = |new: &ProgramUse| {
        summed(Case::accepted(&of(T::ARRAY), &of(T::HASH), OnUpgrade::Migrate).known(&counts, new), &sums)
    };
    assert_eq!(case(&deletes).decide().disposition(), D::Migrate);
    assert_eq!(doubts(&case(&deletes)), [Doubt::NewProgramsDelete]);
    let mut by_user = case(&counts);
    by_user.lock.maps.get_mut("stats").expect("it is there").user_never_deletes = false;
    assert_eq!(doubts(&by_user), [Doubt::UserMayDelete]);
    assert_eq!(told(&case(&counts)), "nothing is lost");
}

#[test]
fn maps_of_kernel_objects_do_not_follow_what_user_space_replaces() {
    for map_type in [T::HASH_OF_MAPS, T::DEVMAP_HASH, T::CPUMAP] {
        let of = |max_entries| MapDef { key_size: 4, value_size: 4, ..def("stats", map_type, &uint(4), max_entries) };
        let reads = ProgramUse::default();
        let mut case = Case::one(&of(4), &of(8)).known(&reads, &reads);
        let line =
            "every entry is kept; what user space writes over an entry of `stats` until the switch is not brought over";
        assert_eq!((told(&case), doubts(&case)), (line.to_owned(), vec![Doubt::UserMayReplace]), "{map_type}");
        assert_eq!(case.plan().to_json()["maps"][0]["exact"], false, "{map_type}");
        case.lock.maps.get_mut("stats").expect("it is there").user_never_deletes = false;
        assert_eq!(doubts(&case), [Doubt::UserMayDelete, Doubt::UserMayReplace], "{map_type}");
    }
}
