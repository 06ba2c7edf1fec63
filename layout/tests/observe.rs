//! From the maps of several objects to the set that a lock should hold.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::config::{Binding, Scope};
use maplock_layout::map::{MapDef, MapType, Origin, Pinning};
use maplock_layout::rules::{self, Level};
use maplock_layout::{Config, Lock, ObjectMaps, Observation, ProgramUse, compare, epochs, observe, observe_after};
use support::{lines, map};

fn named(name: &str, pinning: Pinning, value: &str) -> MapDef {
    let mut def = map(value);
    (def.name, def.pinning) = (name.to_owned(), pinning);
    def
}

fn object(name: &str, maps: impl IntoIterator<Item = MapDef>) -> ObjectMaps {
    ObjectMaps::new(name, maps.into_iter().collect())
}

fn observed(objects: &[ObjectMaps], config: &Config) -> Observation {
    observe(objects, config).unwrap()
}

/// Each map, with `?` where it doesn't count as pinned.
fn maps(observation: &Observation) -> Vec<String> {
    let mark = |ephemeral: bool| if ephemeral { "?" } else { "" };
    observation.lock.maps.iter().map(|(name, map)| format!("{name}{}", mark(map.ephemeral))).collect()
}

fn config(pinned: &[&str], ephemeral: &[&str]) -> Config {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Config { pinned: names(pinned), ephemeral: names(ephemeral), ..Config::default() }
}

#[test]
fn where_a_map_says_that_it_is_pinned_the_others_are_not() {
    let maps_of =
        [named("a", Pinning::ByName, "u32"), named("b", Pinning::None, "u32"), named("c", Pinning::Other(16), "u32")];
    assert_eq!(maps(&observed(&[object("o", maps_of)], &Config::default())), ["a", "b?", "c"]);
}

#[test]
fn where_none_says_so_all_declared_maps_count_as_pinned() {
    let mut legacy = named("legacy", Pinning::None, "u32");
    legacy.origin = Origin::Legacy;
    let maps_of = [named("a", Pinning::None, "u32"), legacy];
    assert_eq!(maps(&observed(&[object("o", maps_of)], &Config::default())), ["a", "legacy"]);
}

#[test]
fn whether_a_map_says_so_is_asked_of_each_object_by_itself() {
    let first = object("first", [named("a", Pinning::ByName, "u32"), named("b", Pinning::None, "u32")]);
    let second = object("second", [named("c", Pinning::None, "u32")]);
    assert_eq!(maps(&observed(&[first, second], &Config::default())), ["a", "b?", "c"]);
}

#[test]
fn global_data_and_struct_ops_count_only_where_the_configuration_says_so() {
    let of = |name: &str, origin| {
        let mut def = named(name, Pinning::None, "u32");
        def.origin = origin;
        def
    };
    let objects =
        [object("o", [of(".bss", Origin::GlobalData), of("ops", Origin::StructOps), named("a", Pinning::None, "u32")])];
    assert_eq!(maps(&observed(&objects, &Config::default())), ["a"]);
    assert_eq!(maps(&observed(&objects, &config(&["o.bss"], &[]))), ["a", "o.bss"], "as libbpf calls it");
    assert_eq!(
        maps(&observed(&objects, &config(&["other.bss"], &[]))),
        ["a", "other.bss"],
        "opened under another name"
    );
    let refused = observe(&objects, &config(&[".bss"], &[])).unwrap_err().to_string();
    assert!(
        refused.contains("under this name: libbpf puts that of the object before it, so write `o.bss`"),
        "{refused}"
    );
    // Of two, each by its own name.
    let two =
        ["one", "two"].map(|name| object(name, [of(".bss", Origin::GlobalData), of(".data.x", Origin::GlobalData)]));
    assert_eq!(maps(&observed(&two[..1], &config(&[".data.x"], &[]))), [".data.x"]);
    assert_eq!(maps(&observed(&two, &config(&["one.bss"], &[]))), ["one.bss"]);
    assert!(observe(&two, &config(&["three.bss"], &[])).is_err());
}

#[test]
fn the_configuration_overrules_the_declarations() {
    let objects = [object("o", [named("a", Pinning::ByName, "u32"), named("b", Pinning::None, "u32")])];
    assert_eq!(maps(&observed(&objects, &config(&["b"], &["a"]))), ["a?", "b"]);
}

#[test]
fn a_name_in_the_configuration_that_no_object_has_is_refused_with_what_was_meant() {
    let objects =
        [object("o", [named("flows", Pinning::None, "u32")]), object("p", [named("events", Pinning::None, "u32")])];
    let error = |config: &Config| observe(&objects, config).unwrap_err().to_string();
    assert_eq!(error(&config(&["flow"], &[])), "`pinned` names map `flow`, which no object has; did you mean `flows`?");
    assert_eq!(
        error(&config(&[], &["evnets"])),
        "`ephemeral` names map `evnets`, which no object has; did you mean `events`?"
    );
    let mut bound = Config::default();
    bound.bindings.insert("zzz".to_owned(), Binding::default());
    assert_eq!(error(&bound), "`maps` names map `zzz`, which no object has");
}

#[test]
fn without_an_object_there_is_nothing_to_hold_names_against() {
    assert_eq!(maps(&observed(&[], &config(&["flows"], &[]))), [""; 0]);
}

#[test]
fn a_map_that_two_objects_share_is_one_map() {
    let shared = || named("shared", Pinning::ByName, "struct v { u32 a; };");
    let observation = observed(&[object("x.o", [shared()]), object("y.o", [shared()])], &Config::default());
    assert_eq!(maps(&observation), ["shared"]);
    assert!(observation.conflicts.is_empty());
}

#[test]
fn a_map_that_two_objects_define_differently_is_a_conflict_that_names_both() {
    let x = object("x.o", [named("shared", Pinning::ByName, "struct v { u32 a; };")]);
    let y = object("y.o", [named("shared", Pinning::ByName, "struct v { s32 a; };")]);
    let observation = observed(&[x, y], &Config::default());
    let [conflict] = observation.conflicts.as_slice() else { panic!("{:?}", observation.conflicts) };
    assert_eq!((conflict.rule, conflict.level), (&rules::MAP_CONFLICT, Level::Deny));
    assert!(conflict.is_break());
    assert_eq!((conflict.map.as_str(), conflict.path().as_str()), ("shared", "shared.value.a"));
    assert_eq!((conflict.old_text().as_deref(), conflict.new_text().as_deref()), (Some("x.o: u32"), Some("y.o: i32")));
    for part in ["`shared`", "x.o", "y.o", "`a` changed from u32 to i32"] {
        assert!(conflict.message().contains(part), "{} does not say {part}", conflict.message());
    }
}

#[test]
fn a_conflict_is_found_in_every_attribute_and_for_each_further_object() {
    let with = |change: fn(&mut MapDef)| {
        let mut def = named("shared", Pinning::ByName, "u32");
        change(&mut def);
        def
    };
    let objects = [
        object("a.o", [with(|_| {})]),
        object("b.o", [with(|def| def.max_entries = 1)]),
        object("c.o", [with(|_| {})]),
        object("d.o", [with(|def| def.flags = 1)]),
    ];
    let observation = observed(&objects, &Config::default());
    let sides: Vec<_> =
        observation.conflicts.iter().map(|found| (found.old_text().unwrap(), found.new_text().unwrap())).collect();
    let expected = [("a.o: 1024", "b.o: 1"), ("a.o: 0", "d.o: BPF_F_NO_PREALLOC")];
    assert_eq!(sides, expected.map(|(old, new)| (old.to_owned(), new.to_owned())));
}

#[test]
fn two_private_maps_may_share_a_name_and_nothing_else() {
    let private = |value| named("scratch", Pinning::None, value);
    let pinned = || named("a", Pinning::ByName, "u32");
    let objects = [object("x.o", [private("u32"), pinned()]), object("y.o", [private("u64"), pinned()])];
    let observation = observed(&objects, &Config::default());
    assert_eq!(maps(&observation), ["a", "scratch?"]);
    assert!(observation.conflicts.is_empty());
}

#[test]
fn a_map_that_one_object_pins_is_pinned_whichever_comes_first() {
    let private = object("x.o", [named("m", Pinning::None, "u32"), named("other", Pinning::ByName, "u32")]);
    let pinned = object("y.o", [named("m", Pinning::ByName, "u64")]);
    for objects in [[private.clone(), pinned.clone()], [pinned, private]] {
        let observation = observed(&objects, &Config::default());
        assert_eq!(maps(&observation), ["m", "other"]);
        assert_eq!(observation.lock.maps["m"].def.value_size, 8, "the pinned one's definition");
        assert!(observation.conflicts.is_empty());
    }
}

/// The lock that the objects of the release before had.
fn locked(objects: &[ObjectMaps], config: &Config) -> Lock {
    let mut lock = observed(objects, config).lock;
    lock.maps.retain(|_, map| !map.ephemeral);
    lock
}

#[test]
fn what_counted_before_the_first_pin_goes_on_counting() {
    let none = || named("b", Pinning::None, "u32");
    let lock = locked(&[object("o", [named("a", Pinning::None, "u32"), none()])], &Config::default());
    let next = [object("o", [named("a", Pinning::ByName, "u32"), none(), named("new", Pinning::None, "u32")])];
    let after = |config: &Config| observe_after(&next, config, &lock).unwrap();
    let observation = after(&Config::default());
    assert_eq!(maps(&observation), ["a", "b", "new?"]);
    assert_eq!(observation.counted_before.iter().collect::<Vec<_>>(), ["b"]);
    let comparison = compare(&lock, &observation.lock, &Config::default().levels);
    assert!(!comparison.has_breaks(), "{:?}", comparison.findings);

    // Until somebody says otherwise.
    let observation = after(&config(&[], &["b"]));
    assert_eq!(
        (maps(&observation), observation.counted_before.len()),
        (vec!["a".into(), "b?".into(), "new?".into()], 0)
    );
    let rules: Vec<_> =
        compare(&lock, &observation.lock, &Config::default().levels).of_map("b").map(|f| f.rule.id).collect();
    assert_eq!(rules, ["pinning-removed"]);
    // Whoever says it does count has said so.
    assert!(after(&config(&["b"], &[])).counted_before.is_empty());
}

#[test]
fn what_lost_its_word_or_was_taken_out_does_not_count() {
    let pinned = |name| named(name, Pinning::ByName, "u32");
    let mut lock = locked(&[object("o", [pinned("a"), pinned("b")])], &Config::default());
    let next = [object("o", [pinned("a"), named("b", Pinning::None, "u32")])];
    assert_eq!(maps(&observe_after(&next, &Config::default(), &lock).unwrap()), ["a", "b?"]);
    let taken_out = lock.maps.get_mut("b").unwrap();
    (taken_out.ephemeral, taken_out.def.pinning) = (true, Pinning::None);
    assert_eq!(maps(&observe_after(&next, &Config::default(), &lock).unwrap()), ["a", "b?"]);
}

#[test]
fn what_counts_as_before_is_one_map_in_all_objects() {
    let private = |value| named("b", Pinning::None, value);
    let pinned = |name| named(name, Pinning::ByName, "u32");
    let lock = locked(&[object("x.o", [private("u32")])], &Config::default());
    let of = |value| [object("x.o", [pinned("a"), private("u32")]), object("y.o", [pinned("c"), private(value)])];
    let same = observe_after(&of("u32"), &Config::default(), &lock).unwrap();
    assert_eq!((maps(&same), same.conflicts.len()), (vec!["a".into(), "b".into(), "c".into()], 0));
    let other = observe_after(&of("u64"), &Config::default(), &lock).unwrap();
    assert_eq!((other.conflicts.len(), other.conflicts[0].map.as_str()), (1, "b"));
}

#[test]
fn a_capacity_of_0_is_set_at_run_time_and_so_is_a_placeholder_that_the_configuration_names() {
    let of = |max_entries| [object("o", [MapDef { max_entries, ..named("m", Pinning::ByName, "u32") }])];
    let seen = |observation: &Observation| {
        let map = &observation.lock.maps["m"];
        (map.def.max_entries, map.runtime_capacity)
    };
    assert_eq!(seen(&observed(&of(0), &Config::default())), (0, true));
    assert_eq!(seen(&observed(&of(64), &Config::default())), (64, false));
    let mut config = Config::default();
    config.read("[package.metadata.maplock.maps.m]\ncapacity = \"runtime\"\n", Scope::Package).unwrap();
    let lock = locked(&of(1), &config);
    assert_eq!(seen(&observed(&of(1), &config)), (0, true));
    // Another placeholder is no change.
    let next = observe_after(&of(2), &config, &lock).unwrap();
    assert!(next.lock.maps["m"].same_definition(&lock.maps["m"]));
    // Where the object says it again, nodes may have larger ones all the same.
    let again = observe_after(&of(64), &Config::default(), &lock).unwrap();
    assert_eq!(seen(&again), (64, true));
    // Loaders take 0 for the number of CPUs.
    let per_cpu = MapDef { max_entries: 0, map_type: MapType::PERF_EVENT_ARRAY, ..named("m", Pinning::ByName, "u32") };
    assert_eq!(seen(&observed(&[object("o", [per_cpu])], &Config::default())), (0, false));
}

fn optional(names: &[&str]) -> Config {
    Config { optional: names.iter().map(|&name| name.to_owned()).collect(), ..Config::default() }
}

#[test]
fn a_build_that_lacks_an_optional_map_is_not_behind() {
    let map = |name: &str| named(name, Pinning::ByName, "u32");
    let (with, without) = ([object("o", [map("flows"), map("dns")])], [object("o", [map("flows")])]);
    let config = optional(&["dns"]);
    let levels = &config.levels;
    let lock = locked(&with, &config);
    assert!(lock.maps["dns"].optional && !lock.maps["flows"].optional);
    let update = |lock: &Lock, objects: &[ObjectMaps], config: &Config| {
        let observation = observe_after(objects, config, lock).unwrap();
        epochs::update(lock, &observation, levels).map_err(|comparison| lines(&comparison))
    };
    // Either build leaves the lock as it is.
    assert_eq!(update(&lock, &with, &config).as_ref(), Ok(&lock));
    assert_eq!(update(&lock, &without, &config).as_ref(), Ok(&lock));
    let lacking = observe_after(&without, &config, &lock).unwrap();
    assert_eq!(lacking.absent.iter().collect::<Vec<_>>(), ["dns"]);
    // What it is built with says that it is another build's.
    let mut built = epochs::as_built(&lock, &lacking.lock, levels);
    lacking.leave_out_absent(&mut built);
    assert!(built.maps["dns"].ephemeral && built.maps["dns"].optional && !built.maps["flows"].ephemeral);
    // Each build is held against what it has.
    let changed = [object("o", [named("flows", Pinning::ByName, "u64")])];
    assert_eq!(update(&lock, &changed, &config).unwrap_err().len(), 2);
    let changed = [object("o", [map("flows"), named("dns", Pinning::ByName, "u64")])];
    assert_eq!(update(&lock, &changed, &config).unwrap_err().len(), 2);
    // A lock of before, and one of a build that never had it.
    let lock_before = locked(&with, &Config::default());
    assert_eq!(update(&lock_before, &without, &config).as_ref(), Ok(&lock));
    let first = locked(&without, &config);
    assert_eq!(first.maps.keys().collect::<Vec<_>>(), ["flows"]);
    assert_eq!(update(&first, &with, &config).as_ref(), Ok(&lock));
    // Where no build has it any more, it is a map that is gone.
    let gone = observe_after(&without, &Config::default(), &lock).unwrap();
    let rules: Vec<_> = compare(&lock, &gone.lock, levels).findings.iter().map(|finding| finding.rule.id).collect();
    assert_eq!(rules, ["map-removed"]);
}

#[test]
fn an_optional_map_may_be_named_where_a_build_lacks_it() {
    let without = [object("o", [named("flows", Pinning::None, "u32")])];
    let mut config = optional(&["dns"]);
    config.pinned.insert("dns".to_owned());
    config.bindings.insert("dns".to_owned(), Binding::default());
    assert_eq!(maps(&observed(&without, &config)), ["flows"]);
}

#[test]
fn flags_that_the_configuration_leaves_to_the_daemon_are_not_locked() {
    let of = |map_type, flags| [object("o", [MapDef { flags, map_type, ..named("m", Pinning::ByName, "u32") }])];
    let mut config = Config::default();
    config.read("[package.metadata.maplock.maps.m]\nflags = \"runtime\"\n", Scope::Package).unwrap();
    let seen = |observation: &Observation| {
        let map = &observation.lock.maps["m"];
        (map.def.flags, map.runtime_flags)
    };
    assert_eq!(seen(&observed(&of(MapType::HASH, 0x81), &config)), (0x80, true));
    assert_eq!(seen(&observed(&of(MapType::HASH, 1), &Config::default())), (1, false));
    // No trie can be made without it.
    assert_eq!(seen(&observed(&of(MapType::LPM_TRIE, 1), &config)), (1, true));
    let lock = locked(&of(MapType::HASH, 1), &config);
    assert_eq!(seen(&observe_after(&of(MapType::HASH, 1), &Config::default(), &lock).unwrap()), (0, true));
}

#[test]
fn what_programs_do_with_a_map_is_what_those_of_all_objects_do() {
    let with = |mut object: ObjectMaps, uses: &[(&str, ProgramUse)]| {
        object.programs = Some(uses.iter().map(|(map, of)| ((*map).to_owned(), of.clone())).collect());
        object
    };
    let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect();
    let counts = ProgramUse { inserts: true, adds: names(&["a", "b"]), ..ProgramUse::default() };
    let sets = ProgramUse { deletes: true, sets: names(&["b"]), ..ProgramUse::default() };
    let one = object("one", ["flows", "idle"].map(|name| named(name, Pinning::None, "u32")));
    let other = object("other", [named("flows", Pinning::None, "u32")]);
    let programs =
        |objects: &[ObjectMaps], name: &str| observed(objects, &Config::default()).lock.maps[name].programs.clone();

    let objects = [with(one.clone(), &[("flows", counts.clone())]), with(other.clone(), &[("flows", sets)])];
    let both = ProgramUse { inserts: true, deletes: true, adds: names(&["a"]), sets: names(&["b"]), partly: false };
    assert_eq!(programs(&objects, "flows"), Some(both));
    assert_eq!(
        programs(&objects, "idle"),
        Some(ProgramUse::default()),
        "its programs were looked at, and touch it not"
    );
    // Of one object that nobody looked at, nothing is known.
    assert_eq!(programs(&[objects[0].clone(), other], "flows"), None);
    assert_eq!(programs(&objects[..1], "flows"), Some(counts));
}
