//! What a conversion takes from entries that it keeps.

use std::collections::BTreeMap;

use maplock_layout::conversion::{Answers, Cast};

use super::*;

/// A plan that converts values, by those answers.
fn converted(old: &Arc<Layout>, new: &Arc<Layout>, answers: Answers) -> Plan {
    let mut case = Case::accepted(&hash(old, 64), &hash(new, 64), OnUpgrade::Migrate);
    let epochs = case.lock.maps.get_mut("stats").map(|map| &mut map.epochs);
    epochs.and_then(|epochs| epochs.last_mut()).expect("an epoch").convert = answers;
    let plan = case.known(&ProgramUse::default(), &ProgramUse::default()).plan();
    assert_eq!(plan.maps[0].disposition(), D::Migrate, "{plan}");
    plan
}

fn last_line(plan: &Plan) -> String {
    plan.to_string().lines().last().map(str::to_owned).unwrap_or_default()
}

#[test]
fn members_that_are_given_up_are_told_and_what_is_kept_is_too() {
    let three = structure("stats", 24, &[("packets", 0, uint(8)), ("drops", 8, uint(8)), ("seen", 16, uint(8))]);
    let one = structure("stats", 8, &[("packets", 0, uint(8))]);
    let plan = converted(&three, &one, Answers::default());
    let line = "every entry is kept; `drops` and `seen` of `stats` are given up · under 1 ms · traffic keeps running";
    assert_eq!(last_line(&plan), line);
    let map = &plan.to_json()["maps"][0];
    assert_eq!((&map["gives_up"], &map["inexact"]), (&serde_json::json!(["drops", "seen"]), &serde_json::json!([])));
    // One that is new takes nothing from anybody.
    let plan = converted(&one, &three, Answers::default());
    assert!(last_line(&plan).starts_with("nothing is lost · "), "{plan}");
}

#[test]
fn the_end_of_an_array_and_numbers_that_may_not_fit_are_told() {
    let of = |len: u32, width: u64| {
        let size = u64::from(len) + 8;
        structure("stats", size, &[("name", 0, array(&uint(1), len)), ("packets", u64::from(len), uint(width))])
    };
    for (cast, outcome) in [
        (
            Cast::Saturate,
            "every entry is kept; the end of `name` of `stats` is given up, old numbers over 4294967295 in `packets` of `stats` \
             become 4294967295",
        ),
        (
            Cast::Truncate,
            "every entry is kept; the end of `name` of `stats` is given up, old numbers over 4294967295 in `packets` of `stats` \
             keep only their low 32 bits",
        ),
        // Where one does not fit, nothing happens at all.
        (
            Cast::Refuse,
            "every entry is kept; the end of `name` of `stats` is given up, `stats` is refused if it has a number in `packets` that \
             does not fit",
        ),
    ] {
        let drop = BTreeSet::from(["value.name[]".to_owned()]);
        let cast = BTreeMap::from([("value.packets".to_owned(), cast)]);
        let plan = converted(&of(16, 8), &of(8, 4), Answers { drop, cast, ..Answers::default() });
        assert!(plan.outcome().starts_with(&format!("{outcome} · ")), "{plan}");
    }
}

#[test]
fn what_code_of_the_daemon_keeps_is_not_promised() {
    let plan = converted(&counters(4), &counters(8), Answers { by_hand: true, ..Answers::default() });
    assert!(plan.outcome().starts_with("the daemon's code says what is kept of `stats` · "), "{plan}");
    assert_eq!(plan.to_json()["maps"][0]["by_hand"], true);
}
