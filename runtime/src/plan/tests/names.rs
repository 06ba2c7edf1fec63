//! Maps that are found under an older name, and pins of maps that are gone.

use maplock_layout::lock::OnUpgrade::{self, Drop, Migrate, Refuse, Swap};

use super::*;

fn named(name: &str, width: u64, max_entries: u32) -> MapDef {
    def(name, T::HASH, &counters(width), max_entries)
}

fn observed(defs: impl IntoIterator<Item = MapDef>) -> Observation {
    Observation { lock: lock(defs), ..Observation::default() }
}

/// The lock in which `stats` is called `counts` since.
fn renamed(old: &MapDef, new: &MapDef, on_upgrade: Option<OnUpgrade>) -> Lock {
    let names = (old.name.as_str(), new.name.as_str());
    let before = lock([old.clone()]);
    epochs::rename(&before, &observed([new.clone()]), names, on_upgrade, "because", &Levels::default())
        .expect("a rename")
}

fn given_up(old: &MapDef) -> Lock {
    let before = lock([old.clone()]);
    epochs::accept(&before, &observed([]), &old.name, Drop, "nobody reads it", &Levels::default()).expect("it is gone")
}

fn meta(maps: &[(&str, u32)]) -> Option<Meta> {
    let maps = maps.iter().map(|(name, id)| ((*name).to_owned(), MetaMap { id: *id, max_entries: 64 })).collect();
    Some(Meta { maps, ..Meta::default() })
}

/// A live map of this definition, and that lock.
fn live(old: &MapDef, lock: Lock) -> Case {
    Case { lock, live: vec![pinned(old, 7, 12)], meta: meta(&[(&old.name, 7)]), ..Case::default() }
}

#[test]
fn a_map_is_found_under_the_name_that_it_had() {
    let old = named("stats", 4, 64);
    for (new, on_upgrade, disposition, why) in [
        (named("counts", 4, 64), None, D::Reuse, "same layout"),
        (named("counts", 4, 128), None, D::Grow, "max_entries 64 -> 128 (accepted: \"because\"), every entry kept"),
        (named("counts", 8, 64), Some(Migrate), D::Migrate, "packets u32 -> u64 (accepted: \"because\")"),
        (named("counts", 8, 64), Some(Swap), D::Swap, "starts empty: packets u32 -> u64 (accepted: \"because\")"),
        (
            named("counts", 8, 64),
            Some(Refuse),
            D::Refuse,
            "packets u32 -> u64; accepted as `refuse` (accepted: \"because\")",
        ),
    ] {
        // Also where nothing says whose pins these are.
        for meta in [meta(&[("stats", 7)]), None] {
            let case = Case { meta, ..live(&old, renamed(&old, &new, on_upgrade)) };
            let map = case.decide();
            assert_is(&map, disposition, why);
            assert_eq!((map.map.as_str(), map.was.as_deref(), id(&map)), ("counts", Some("stats"), Some(7)));
            assert_eq!(map.action.live().map(|live| live.pin.as_path()), Some(Path::new("/bpf/mesh/stats")));
            let plan = case.plan();
            assert!(plan.table()[1].starts_with("stats -> counts    12/64"), "{plan}");
            assert_eq!(plan.to_json()["maps"][0]["was"], "stats");
            assert_eq!(plan.former().collect::<Vec<_>>(), ["stats"]);
            let loses = disposition == D::Swap;
            assert_eq!(plan.outcome().starts_with("lost: 12 entries of counts · "), loses, "{plan}");
        }
    }
}

#[test]
fn once_it_has_its_new_name_it_is_found_under_that() {
    let (old, new) = (named("stats", 4, 64), named("counts", 4, 64));
    let case = live(&new, renamed(&old, &new, None));
    let map = case.decide();
    assert_is(&map, D::Reuse, "same layout");
    assert_eq!((map.was, case.plan().former().count()), (None, 0));
}

#[test]
fn of_a_map_that_is_pinned_under_both_names_nothing_says_which_has_the_entries() {
    let (old, new) = (named("stats", 4, 64), named("counts", 4, 64));
    let lock = renamed(&old, &new, None);
    let both = |policy: Policy| {
        let mut case = Case { meta: None, ..live(&new, lock.clone()) };
        case.live.push(pinned(&old, 8, 3));
        case.policies.maps.insert("counts".to_owned(), policy);
        case.plan()
    };
    let plan = both(Policy::default());
    let why = "another map is pinned as `stats`, its name before, and nothing says which has the entries; remove the pin that \
               is not needed, `counts` or `stats`";
    assert_is(plan.map("counts").expect("asked for"), D::Refuse, why);
    let plan = both(policy(OnMismatch::Reuse));
    let why = "same layout; `stats` is given up (policy: reuse)";
    assert_is(plan.map("counts").expect("asked for"), D::Reuse, why);
    assert!(plan.outcome().starts_with("given up: 3 entries of stats · "), "{plan}");
    assert_eq!(both(policy(OnMismatch::Swap)).map("counts").expect("asked for").disposition(), D::Swap);
    // Two names of one map are one map.
    let mut case = Case { meta: None, ..live(&new, lock) };
    case.live.push(pinned(&old, 7, 12));
    let plan = case.plan();
    assert_is(plan.map("counts").expect("asked for"), D::Reuse, "same layout");
    assert_is(plan.map("stats").expect("it goes"), D::Drop, "another name of the map that goes on as `counts`");
    assert!(plan.outcome().starts_with("nothing is lost"), "{plan}");
}

#[test]
fn a_name_that_came_back_is_not_the_map_that_had_it() {
    let (old, new) = (named("stats", 4, 64), named("counts", 4, 64));
    let lock = renamed(&old, &new, None);
    let both = observed([new.clone(), named("stats", 4, 64)]);
    let lock = epochs::update(&lock, &both, &Levels::default()).expect("no break");
    // From the first release, both from the second, and a restart of the third.
    let plan = live(&old, lock.clone()).plan();
    let of = |plan: &Plan, name: &str| {
        let map = plan.map(name).expect("asked for");
        (map.disposition(), map.was.clone(), id(map))
    };
    assert_eq!(of(&plan, "counts"), (D::Reuse, Some("stats".to_owned()), Some(7)));
    assert_eq!(of(&plan, "stats"), (D::Create, None, None));
    let mut third = live(&new, lock);
    assert_eq!(of(&third.plan(), "stats"), (D::Create, None, None));
    third.live.push(pinned(&named("stats", 4, 64), 9, 1));
    assert_eq!(of(&third.plan(), "counts"), (D::Reuse, None, Some(7)));
    assert_eq!(of(&third.plan(), "stats"), (D::Reuse, None, Some(9)));
}

#[test]
fn an_older_release_finds_its_map_under_the_name_that_it_has_since() {
    let (old, new) = (named("stats", 4, 64), named("counts", 4, 128));
    let mut meta = meta(&[("counts", 7)]).expect("made above");
    meta.renamed.insert("counts".to_owned(), vec!["stats".to_owned()]);
    let case = Case { lock: lock([old.clone()]), live: vec![pinned(&new, 7, 12)], meta: Some(meta), ..Case::default() };
    let map = case.decide();
    assert_eq!((map.disposition(), map.was.as_deref()), (D::Reuse, Some("counts")), "it holds more than is asked for");
    let case = Case { lock: lock([old.clone()]), live: case.live, meta: case.meta, ..Case::default() }.kept(&old);
    let map = case.policy(policy(OnMismatch::Refuse)).decide();
    assert_is(&map, D::Reuse, "returns to the kept map of 64, 12 entries carried back");
    assert_eq!(map.was.as_deref(), Some("counts"));
}

#[test]
fn what_was_given_up_goes_with_its_reason() {
    let old = named("stats", 4, 64);
    for meta in [meta(&[("stats", 7)]), None] {
        let case = Case { meta, ..live(&old, given_up(&old)) };
        let map = case.decide();
        assert_is(&map, D::Drop, "given up (accepted: \"nobody reads it\"); kept for roll-back");
        let plan = case.plan();
        assert!(plan.outcome().starts_with("given up: 12 entries of stats · "), "{plan}");
        assert_eq!((plan.denied(&[D::Drop]).count(), plan.denied(&[D::Swap]).count()), (1, 1));
        assert_eq!(plan.former().collect::<Vec<_>>(), ["stats"]);
        let mut one = Case { live: vec![pinned(&old, 7, 1)], ..case };
        assert!(one.plan().outcome().starts_with("given up: 1 entry of stats · "));
        one.live[0].entries = Some(0);
        assert!(one.plan().outcome().starts_with("nothing is lost"));
        one.live[0].entries = None;
        assert!(one.plan().outcome().starts_with("given up: the entries of stats · "));
    }
}

#[test]
fn what_was_given_up_with_another_layout_is_somebodys_decision() {
    let (old, other) = (named("stats", 4, 64), named("stats", 8, 64));
    let case = live(&other, given_up(&old));
    let plan = case.plan();
    assert!(plan.is_refused(), "{plan}");
    assert!(
        plan.maps[0].why.starts_with("given up, but with another layout; no accepted change leads from layout "),
        "{plan}"
    );
    assert_eq!(plan.maps[0].action.new_map().map(|new| new.digest), None);
    let case = case.policy(policy(OnMismatch::Swap));
    assert_eq!(case.decide().disposition(), D::Drop);
    // Without a word of whose it is, it is somebody else's.
    let plan = Case { meta: None, ..live(&other, given_up(&old)) }.plan();
    assert!(plan.maps[0].why.starts_with("not in this release, and nothing says whose it is"), "{plan}");
    assert_eq!(plan.former().count(), 0);
    // One of which nothing tells the layout.
    let case = Case { live: vec![untyped(&old, 7)], ..live(&old, given_up(&old)) };
    assert!(case.plan().is_refused());
    assert_eq!(case.policy(policy(OnMismatch::Swap)).decide().disposition(), D::Drop);
}

#[test]
fn a_map_that_came_back_after_it_was_given_up_starts_empty_where_it_is_another() {
    let old = named("stats", 4, 64);
    for (new, disposition) in [(named("stats", 4, 64), D::Reuse), (named("stats", 8, 64), D::Swap)] {
        let lock = epochs::update(&given_up(&old), &observed([new]), &Levels::default()).expect("no break");
        assert_eq!(live(&old, lock).decide().disposition(), disposition);
    }
}
