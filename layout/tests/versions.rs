//! The version of what the same bytes mean: where it is, what differs by it, what is asked, and who has it that says none.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use maplock_layout::btf::{Btf, BtfKind, Resolver, encode, encode_untagged};
use maplock_layout::config::{Config, Levels};
use maplock_layout::conversion::{Answers, DerivedLeg, Scale};
use maplock_layout::epochs::{self, EpochError};
use maplock_layout::lock::OnUpgrade;
use maplock_layout::{
    Composite, Disposition, Layout, Lock, MapDef, Member, ObjectMaps, Observation, Shape, observe, observe_after,
    said_version, without_versions,
};
use support::{c, diff, lines, lock, map, map_of, observed};

const VALUE: &str = "struct inner { u64 seen; u32 n; }; struct v { struct inner one; struct inner two[2]; u64 hits; };";

/// The layout with versions of structs, by their names.
fn tagged(layout: &Layout, versions: &[(&str, u32)]) -> Arc<Layout> {
    let shape = match &layout.shape {
        Shape::Array { element, len } => Shape::Array { element: tagged(element, versions), len: *len },
        Shape::Composite(of) => {
            let member = |member: &Member| Member { layout: tagged(&member.layout, versions), ..member.clone() };
            let name = of.name().map_or("", |name| name.as_str());
            let version = versions.iter().find(|(of, _)| *of == name).map_or(0, |(_, version)| *version);
            let members = of.members().iter().map(member).collect();
            let of = Composite::new(of.kind(), of.name().cloned(), members).unwrap().with_version(version);
            Shape::Composite(Arc::new(of))
        }
        other => other.clone(),
    };
    Arc::new(Layout { shape, ..layout.clone() })
}

/// The map with versions of the structs of its value.
fn of_value(value: &str, versions: &[(&str, u32)]) -> MapDef {
    let def = map(value);
    MapDef { value: def.value.as_deref().map(|value| tagged(value, versions)), ..def }
}

/// The map with its own version.
fn version(value: &str, version: u32) -> MapDef {
    MapDef { version, ..map(value) }
}

/// What an object with this map comes to after a lock.
fn seen(def: MapDef, lock: &Lock) -> Observation {
    observe_after(&[ObjectMaps::new("o", vec![def])], &Config::default(), lock).unwrap()
}

fn found(old: &MapDef, new: &MapDef) -> Vec<String> {
    lines(&diff(&lock([old.clone()]), &lock([new.clone()])))
}

#[test]
fn a_version_is_part_of_the_digest_wherever_it_is_and_none_is_as_before() {
    let untagged = map(VALUE);
    assert_eq!(untagged.digest(), of_value(VALUE, &[]).digest());
    let anonymous = "struct v { struct { u64 seen; }; u64 hits; };";
    let digests = [
        untagged.digest(),
        version(VALUE, 1).digest(),
        version(VALUE, 2).digest(),
        of_value(VALUE, &[("v", 1)]).digest(),
        of_value(VALUE, &[("inner", 1)]).digest(),
        of_value(VALUE, &[("inner", 2)]).digest(),
        map(anonymous).digest(),
        of_value(anonymous, &[("", 1)]).digest(),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
    for tagged in [version(VALUE, 2), of_value(VALUE, &[("v", 1), ("inner", 7)]), of_value(anonymous, &[("", 1)])] {
        assert_ne!(tagged.digest(), without_versions(&tagged).digest());
        let bare = MapDef { version: 0, ..map(VALUE) };
        if tagged.value_size == bare.value_size {
            assert_eq!(without_versions(&tagged).digest(), bare.digest());
        }
    }
}

#[test]
fn a_lock_holds_versions_of_maps_and_structs() {
    let def = MapDef { version: 3, ..of_value(VALUE, &[("inner", 7)]) };
    let written = lock([def.clone()]);
    let text = written.to_string();
    assert!(text.contains("\nversion = 3\n") && text.contains("\nsize = 16\nversion = 7\n"), "{text}");
    let again = Lock::parse(&text).unwrap();
    assert_eq!(again.to_string(), text);
    assert_eq!(again.maps["m"].def.digest(), def.digest());
    assert!(!lock([map(VALUE)]).to_string().replacen("version = 1", "", 1).contains("version"));
}

#[test]
fn btf_keeps_versions_as_declaration_tags_unless_it_is_to_have_none() {
    let def = of_value(VALUE, &[("v", 2), ("inner", 7)]);
    let value = def.value.as_deref();
    let read = |encoded: &maplock_layout::btf::Encoded| {
        let btf = Btf::parse(&encoded.bytes).unwrap();
        let tags = btf.of_kinds(&[BtfKind::DeclTag]).count();
        (tags, Resolver::new(&btf).resolve(encoded.value_type_id).unwrap())
    };
    let tagged = encode(None, value).unwrap();
    assert_eq!((tagged.is_tagged, read(&tagged)), (true, (2, def.value.clone().unwrap())));
    let untagged = encode_untagged(None, value).unwrap();
    assert_eq!((untagged.is_tagged, read(&untagged)), (false, (0, c::layout(VALUE))));
    assert!(!encode(None, Some(&c::layout(VALUE))).unwrap().is_tagged);

    // One name, the same bytes, two meanings.
    let (key, value) = (tagged_pair(1), tagged_pair(0));
    let encoded = encode(Some(&key), Some(&value)).unwrap();
    let btf = Btf::parse(&encoded.bytes).unwrap();
    let mut resolver = Resolver::new(&btf);
    let versions = [encoded.key_type_id, encoded.value_type_id]
        .map(|id| resolver.resolve(id).unwrap().composite().unwrap().version());
    assert_eq!(versions, [1, 0]);
}

fn tagged_pair(version: u32) -> Arc<Layout> {
    tagged(&c::layout("struct pair { u32 a; u32 b; };"), &[("pair", version)])
}

#[test]
fn another_version_is_found_where_it_is_and_needs_an_answer() {
    let (old, new) = (map(VALUE), of_value(VALUE, &[("inner", 1)]));
    assert_eq!(
        found(&old, &new),
        [
            "meaning-changed m.value.one: no version -> version 1",
            "meaning-changed m.value.two[]: no version -> version 1"
        ]
    );
    assert_eq!(
        found(&of_value(VALUE, &[("v", 1)]), &of_value(VALUE, &[("v", 2)])),
        ["meaning-changed m.value: version 1 -> version 2"]
    );
    assert_eq!(found(&version(VALUE, 1), &version(VALUE, 2)), ["meaning-changed m: version 1 -> version 2"]);
    let holder = |inner: MapDef| MapDef { inner: Some(Box::new(inner)), ..map("u32") };
    assert_eq!(
        found(&holder(map(VALUE)), &holder(of_value(VALUE, &[("v", 4)]))),
        ["meaning-changed m.inner.value: no version -> version 4"]
    );
    let anonymous = "struct v { struct { u64 seen; }; };";
    assert_eq!(
        found(&map(anonymous), &of_value(anonymous, &[("", 1)])),
        ["meaning-changed m.value: no version -> version 1"]
    );
    // A struct around what was a number.
    let wrapped = "struct v { u64 n; };";
    assert_eq!(
        found(&map("u64"), &of_value(wrapped, &[("v", 1)])),
        ["meaning-changed m.value: no version -> version 1"]
    );

    let mut levels = Levels::default();
    levels.set(&maplock_layout::rules::MEANING_CHANGED, maplock_layout::rules::Level::Allow);
    let (old, new) = (lock([old]), lock([new]));
    let verdict = maplock_layout::compare(&old, &new, &levels).maps.remove(0);
    assert_eq!(verdict.disposition, Disposition::Refuse, "no level makes old entries mean what new ones do");
}

#[test]
fn a_version_that_goes_down_is_said_as_such() {
    let said = |old: u32, new: u32| {
        let found = diff(&lock([version("u32", old)]), &lock([version("u32", new)])).findings.remove(0);
        found.message()
    };
    assert_eq!(said(0, 1), "map `m` means something else now: version 1, it had none");
    assert_eq!(said(1, 2), "map `m` means something else now: version 2, it was 1");
    assert_eq!(said(2, 1), "map `m` goes back to an older meaning: version 1, it was 2");
    assert_eq!(said(2, 0), "map `m` goes back to an older meaning: no version, it was 2");
    let found = diff(&lock([map(VALUE)]), &lock([of_value(VALUE, &[("v", 1)])])).findings.remove(0);
    assert_eq!(found.message(), "the value of `m` (struct v) means something else now: version 1, it had none");
}

fn asked(old: &MapDef, new: &MapDef, answers: &Answers) -> Vec<String> {
    match DerivedLeg::derive(old, new, answers) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.questions.iter().map(|question| question.path.clone()).collect(),
    }
}

#[test]
fn a_conversion_that_leaves_everything_as_it_was_gives_no_new_meaning() {
    let scale = |path: &str| Answers {
        scale: [(path.to_owned(), Scale { multiply: 1, divide: 1000 })].into(),
        ..Answers::default()
    };
    let none = Answers::default();
    assert_eq!(asked(&map(VALUE), &version(VALUE, 1), &none), ["map"]);
    assert_eq!(asked(&map(VALUE), &version(VALUE, 1), &scale("value.one.seen")), [""; 0]);
    let inner = of_value(VALUE, &[("inner", 1)]);
    assert_eq!(asked(&map(VALUE), &inner, &none), ["value.one", "value.two[]"]);
    assert_eq!(asked(&map(VALUE), &inner, &scale("value.one.seen")), ["value.two[]"]);
    let mut both = scale("value.one.seen");
    both.scale.insert("value.two[].seen".to_owned(), Scale { multiply: 1, divide: 1000 });
    assert_eq!(asked(&map(VALUE), &inner, &both), [""; 0]);
    // What another struct becomes says nothing of this one.
    let wider = VALUE.replace("u64 hits", "u64 hits; u64 misses");
    assert_eq!(asked(&map(VALUE), &of_value(&wider, &[("inner", 1)]), &none), ["value.one", "value.two[]"]);
    // Another place is no other meaning, and a new member is something.
    let moved = "struct v { u64 hits; u64 seen; };";
    assert_eq!(asked(&map("struct v { u64 seen; u64 hits; };"), &of_value(moved, &[("v", 1)]), &none), ["value"]);
    let longer = "struct v { u64 seen; u64 hits; u64 n; };";
    assert_eq!(asked(&map("struct v { u64 seen; u64 hits; };"), &of_value(longer, &[("v", 1)]), &none), [""; 0]);
    let key = |version| {
        let def = map_of("struct k { u8 a; u32 b; };", "u32");
        MapDef { key: Some(tagged(def.key.as_deref().unwrap(), &[("k", version)])), ..def }
    };
    assert_eq!(asked(&key(0), &key(1), &none), ["key"]);
}

#[test]
fn a_key_with_another_version_keeps_its_padding() {
    let key = |version| {
        let def = map_of("struct k { u8 a; u32 b; };", "struct v { u64 seen; };");
        let key = tagged(def.key.as_deref().unwrap(), &[("k", 0)]);
        MapDef { key: Some(key), version, ..def }
    };
    let answers = Answers {
        scale: [("value.seen".to_owned(), Scale { multiply: 1, divide: 1000 })].into(),
        ..Answers::default()
    };
    let leg = DerivedLeg::derive(&key(0), &key(1), &answers).unwrap().leg;
    assert_eq!(leg.key.convert(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(leg.value.convert(&7000_u64.to_ne_bytes()).unwrap(), 7_u64.to_ne_bytes());
}

#[test]
fn a_new_meaning_is_accepted_by_raising_the_version_and_undone() {
    let levels = Levels::default();
    let before = lock([map(VALUE)]);
    let accept = |lock: &Lock, way| {
        let raised = seen(map(VALUE), lock).with_new_meaning(lock, "m").unwrap();
        epochs::accept(lock, &raised, "m", way, "microseconds", &levels).unwrap()
    };
    let once = accept(&before, OnUpgrade::Swap);
    assert_eq!(once.maps["m"].def.version, 1);
    let epoch = &once.maps["m"].epochs[0];
    assert_eq!((epoch.from, epoch.to), (map(VALUE).digest(), version(VALUE, 1).digest()));
    assert_eq!(epoch.rules, ["meaning-changed"]);
    let verdict = diff(&before, &once).maps.remove(0);
    assert_eq!((verdict.disposition, verdict.loses_entries()), (Disposition::Swap, true));

    // The object says no version: it has the lock's.
    let now = seen(map(VALUE), &once);
    assert_eq!(now.adopted, [], "no struct lost its tag");
    assert_eq!(epochs::update(&once, &now, &levels).unwrap().to_string(), once.to_string());
    let again = epochs::accept(&once, &now, "m", OnUpgrade::Refuse, "somebody decides", &levels).unwrap();
    assert_eq!(again.maps["m"].epochs[0].on_upgrade, OnUpgrade::Refuse);

    let twice = accept(&once, OnUpgrade::Swap);
    assert_eq!(twice.maps["m"].def.version, 2);
    assert_eq!(epochs::undo(&twice, "m").unwrap().to_string(), once.to_string());
    assert_eq!(epochs::undo(&once, "m").unwrap().to_string(), before.to_string());
}

#[test]
fn reuse_of_a_new_meaning_is_taken_with_its_reason_and_migrate_with_its_answers() {
    let levels = Levels::default();
    let before = lock([map(VALUE)]);
    let raised = observed([map(VALUE)]).with_new_meaning(&before, "m").unwrap();
    let accept = |way| epochs::accept(&before, &raised, "m", way, "a reason", &levels).unwrap();
    let reused = accept(OnUpgrade::Reuse);
    assert_eq!(diff(&before, &reused).maps[0].disposition, Disposition::Reuse);
    let migrated = accept(OnUpgrade::Migrate);
    let Err(EpochError::Unanswered { problems, .. }) = epochs::convert(&migrated, "m", None) else {
        panic!("nothing is converted, and nothing is asked")
    };
    assert_eq!(
        problems.questions[0].choices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["--scale MEMBER=FACTOR", "--by-hand", "--on-upgrade swap"]
    );
    let by_hand = Answers { by_hand: true, ..Answers::default() };
    epochs::convert(&migrated, "m", Some(&by_hand)).unwrap();
}

#[test]
fn a_struct_whose_tag_is_gone_has_the_version_that_the_lock_knows() {
    let levels = Levels::default();
    let known = MapDef { version: 4, ..of_value(VALUE, &[("inner", 2)]) };
    let before = lock([known.clone()]);
    let now = seen(map(VALUE), &before);
    let told: Vec<_> = now.adopted.iter().map(|of| (of.map.as_str(), of.spelling.as_str(), of.version)).collect();
    assert_eq!(told, [("m", "struct inner", 2)]);
    assert_eq!(epochs::update(&before, &now, &levels).unwrap().to_string(), before.to_string());
    // What changed besides is seen, and what says a version itself keeps it.
    let wider = VALUE.replace("u64 hits", "u64 hits; u64 misses");
    let now = seen(MapDef { version: 5, ..of_value(&wider, &[("inner", 3)]) }, &before);
    assert_eq!(now.adopted, []);
    assert_eq!(now.lock.maps["m"].def.digest(), MapDef { version: 5, ..of_value(&wider, &[("inner", 3)]) }.digest());
    let now = seen(map(&wider), &before);
    assert_eq!(now.lock.maps["m"].def.digest(), MapDef { version: 4, ..of_value(&wider, &[("inner", 2)]) }.digest());
}

#[test]
fn objects_of_which_one_says_a_version_agree() {
    let object = |name: &str, def: MapDef| ObjectMaps::new(name, vec![def]);
    let with = |one: MapDef, two: MapDef| observe(&[object("a", one), object("b", two)], &Config::default()).unwrap();
    let tagged = || MapDef { version: 2, ..of_value(VALUE, &[("v", 3)]) };
    for observation in [with(map(VALUE), tagged()), with(tagged(), map(VALUE))] {
        assert_eq!(observation.conflicts, []);
        assert_eq!(observation.lock.maps["m"].def.digest(), tagged().digest());
    }
    assert_eq!(with(version(VALUE, 1), version(VALUE, 2)).conflicts.len(), 1);
}

#[test]
fn what_a_definition_says_itself_is_told_in_words() {
    assert_eq!(said_version(&map(VALUE)), None);
    assert_eq!(said_version(&version(VALUE, 2)), Some(("map `m`".to_owned(), 2)));
    assert_eq!(said_version(&of_value(VALUE, &[("inner", 2)])), Some(("`struct inner`".to_owned(), 2)));
}
