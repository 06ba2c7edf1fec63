//! Whether the gate takes only what a node's plan takes too: every type of map, and every kind of change. No kernel is needed: the plan
//! is of a map as the old definition would have made it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use maplock::internals::inspect::{Observed, Source};
use maplock::internals::normalise::Node;
use maplock::layout::config::Levels;
use maplock::layout::conversion::{Answers, Choice, Scale};
use maplock::layout::history::Converting;
use maplock::layout::lock::{LockedMap, OnUpgrade};
use maplock::layout::map::{MapType as T, Pinning};
use maplock::layout::map_type::{Fate, Keys, Values, fate};
use maplock::layout::rules::{self, Level};
use maplock::layout::{
    Composite, CompositeKind, Disposition, IntKind, Layout, Lock, MapDef, Member, Observation, Shape, Verdict, compare,
    epochs,
};
use maplock::plan::{Action, Hazard, Inputs, PinnedLock, Plan, plan};
use maplock::{OnMismatch, Policies, Policy, Spec};

fn int(size: u64) -> Arc<Layout> {
    Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
}

/// A struct of members one behind the other.
fn structure(name: &str, members: &[(&str, Arc<Layout>)]) -> Arc<Layout> {
    let mut offset = 0;
    let members = members.iter().map(|(name, layout)| {
        let member = Member { name: (*name).into(), offset_bits: offset * 8, bits: None, layout: Arc::clone(layout) };
        offset += layout.size;
        member
    });
    let of = Composite::new(CompositeKind::Struct, Some(name.into()), members.collect()).expect("few members");
    Arc::new(Layout::new(offset, Shape::Composite(Arc::new(of))))
}

/// A union of these arms.
fn union(name: &str, arms: &[(&str, Arc<Layout>)]) -> Arc<Layout> {
    let size = arms.iter().map(|(_, layout)| layout.size).max().expect("an arm");
    let arms = arms.iter().map(|(name, layout)| Member {
        name: (*name).into(),
        offset_bits: 0,
        bits: None,
        layout: Arc::clone(layout),
    });
    let of = Composite::new(CompositeKind::Union, Some(name.into()), arms.collect()).expect("few arms");
    Arc::new(Layout::new(size, Shape::Composite(Arc::new(of))))
}

/// The same struct with another meaning.
fn versioned(layout: &Layout, version: u32) -> Arc<Layout> {
    let of = layout.composite().expect("a struct").clone().with_version(version);
    Arc::new(Layout { shape: Shape::Composite(Arc::new(of)), ..layout.clone() })
}

fn halved(path: &str) -> Answers {
    let scale = Scale { multiply: 1, divide: 2 };
    Answers { scale: BTreeMap::from([(path.to_owned(), scale)]), ..Answers::default() }
}

/// A struct of the kernel's.
fn kernels(name: &str) -> Arc<Layout> {
    structure(name, &[("opaque", int(8)), ("more", int(8))])
}

fn kptr() -> Arc<Layout> {
    Arc::new(Layout::new(8, Shape::Pointer { target: "kptr struct task_struct".into() }))
}

/// A definition of that type with 64 entries.
fn def(map_type: T) -> MapDef {
    let row = map_type.row();
    let (key_size, value_size) = (
        if row.keys == Keys::None { 0 } else { 4 },
        match row.values {
            Values::None => 0,
            Values::Data => 16,
            Values::Fd | Values::Object => 4,
        },
    );
    let inner = map_type.holds_maps().then(|| Box::new(def(T::HASH)));
    let def =
        MapDef { key_size, value_size, max_entries: 64, pinning: Pinning::ByName, inner, ..MapDef::new("m", map_type) };
    if row.values == Values::Data { with_value(def, &stats()) } else { def }
}

fn stats() -> Arc<Layout> {
    structure("stats", &[("packets", int(8)), ("bytes", int(8))])
}

fn with_value(def: MapDef, value: &Arc<Layout>) -> MapDef {
    MapDef { value: Some(Arc::clone(value)), value_size: value.size as u32, ..def }
}

fn with_key(def: MapDef, key: &Arc<Layout>) -> MapDef {
    MapDef { key: Some(Arc::clone(key)), key_size: key.size as u32, ..def }
}

/// A change of a map: what it is, before and after, and the answers without which entries can't be converted.
struct Change {
    what: String,
    old: MapDef,
    new: MapDef,
    answers: Answers,
}

fn dropped(path: &str) -> Answers {
    Answers { drop: BTreeSet::from([path.to_owned()]), ..Answers::default() }
}

/// Every kind of change of a map of that type.
fn changes(map_type: T) -> Vec<Change> {
    let old = def(map_type);
    let mut changes = Vec::new();
    let mut add = |what: &str, old: &MapDef, new: MapDef, answers: Answers| {
        let what = format!("{map_type}: {what}");
        changes.push(Change { what, old: old.clone(), new, answers });
    };
    let none = Answers::default;
    let larger = |def: &MapDef| MapDef { max_entries: 256, ..def.clone() };
    let smaller = |def: &MapDef| MapDef { max_entries: 16, ..def.clone() };
    add("nothing", &old, old.clone(), none());
    add("grows", &old, larger(&old), none());
    add("shrinks", &old, smaller(&old), none());
    let at_run_time = MapDef { max_entries: 0, ..old.clone() };
    match map_type.needs_capacity() {
        true => {
            let fewer = MapDef { max_entries: AT_RUN_TIME / 2, ..old.clone() };
            add("capacity at run time from now on", &old, at_run_time.clone(), none());
            add("capacity no longer at run time", &at_run_time, old.clone(), none());
            add("capacity no longer at run time, fewer than a daemon chose", &at_run_time, fewer, none());
        }
        // Their loaders take it for the number of CPUs, which is the node's to know.
        false if map_type == T::CPUMAP => {}
        false => add("to nothing", &old, at_run_time, none()),
    }
    for flags in [1, 2, 0x8, 0x80, 0x400, 0x1000] {
        add(&format!("flags {flags:#x}"), &old, MapDef { flags, ..old.clone() }, none());
        add(&format!("flags {flags:#x}, grows"), &old, MapDef { flags, ..larger(&old) }, none());
    }
    add("another meaning", &old, MapDef { version: 1, ..old.clone() }, Answers { by_hand: true, ..none() });
    add("another meaning, grows", &old, MapDef { version: 1, ..larger(&old) }, Answers { by_hand: true, ..none() });
    add("another meaning, shrinks", &old, MapDef { version: 1, ..smaller(&old) }, Answers { by_hand: true, ..none() });
    let newer = MapDef { version: 2, ..old.clone() };
    add("an older meaning", &newer, MapDef { version: 1, ..old.clone() }, Answers { by_hand: true, ..none() });
    add("map_extra", &old, MapDef { map_extra: 3, ..old.clone() }, none());
    add("no longer by name", &old, MapDef { pinning: Pinning::None, ..old.clone() }, none());
    for to in T::ALL.iter().copied().chain([T(4711)]).filter(|to| *to != map_type) {
        add(&format!("becomes {to}"), &old, MapDef { map_type: to, ..old.clone() }, none());
        add(&format!("becomes {to} as it is"), &old, def(to), none());
        add(&format!("becomes {to}, grows"), &old, MapDef { map_type: to, ..larger(&old) }, none());
        add(&format!("becomes {to}, shrinks"), &old, MapDef { map_type: to, ..smaller(&old) }, none());
    }
    if let Some(inner) = &old.inner {
        let of = |inner: MapDef| MapDef { inner: Some(Box::new(inner)), ..old.clone() };
        add("inner grows", &old, of(larger(inner)), none());
        add(
            "inner widens",
            &old,
            of(with_value((**inner).clone(), &structure("stats", &[("packets", int(8))]))),
            none(),
        );
        add("inner becomes an array", &old, of(MapDef { map_type: T::ARRAY, ..(**inner).clone() }), none());
        add("inner array grows", &of(def(T::ARRAY)), of(larger(&def(T::ARRAY))), none());
        add(
            "outer grows, inner changes",
            &old,
            MapDef { inner: Some(Box::new(def(T::ARRAY))), ..larger(&old) },
            none(),
        );
        let newer = of(MapDef { version: 1, ..(**inner).clone() });
        add("another meaning of inner maps", &old, newer.clone(), none());
        add("another meaning of inner maps, grows", &old, larger(&newer), none());
        add("inner is gone", &old, MapDef { inner: None, ..old.clone() }, none());
    }
    if map_type.row().keys != Keys::None {
        let (short, long) = (structure("key", &[("a", int(4))]), structure("key", &[("a", int(8))]));
        let keyed = with_key(old.clone(), &short);
        add("key widens", &keyed, with_key(old.clone(), &long), none());
        let two = structure("key", &[("a", int(4)), ("b", int(4))]);
        let default = Answers { default: BTreeMap::from([("key.b".to_owned(), "0".to_owned())]), ..none() };
        add("key gets a member", &keyed, with_key(old.clone(), &two), default);
        add("another key", &keyed, with_key(old.clone(), &structure("key", &[("c", int(8))])), none());
        add("key of another size", &old, MapDef { key_size: 8, ..old.clone() }, Answers { by_hand: true, ..none() });
    }
    // libbpf takes the value of a `struct_ops` table from the kernel: what the object says of it is not what is compared.
    if map_type == T::STRUCT_OPS {
        return changes;
    }
    add(
        "value of another size",
        &old,
        MapDef { value_size: 24, value: None, ..old.clone() },
        Answers { by_hand: true, ..none() },
    );
    if map_type.row().values != Values::Data {
        return changes;
    }
    let values = [
        ("member added", structure("stats", &[("packets", int(8)), ("bytes", int(8)), ("drops", int(8))]), none()),
        ("member removed", structure("stats", &[("packets", int(8))]), dropped("value.bytes")),
        ("members moved", structure("stats", &[("bytes", int(8)), ("packets", int(8))]), none()),
        ("member narrowed", structure("stats", &[("packets", int(4)), ("bytes", int(8))]), dropped("value.packets")),
        ("member renamed", structure("stats", &[("packets", int(8)), ("octets", int(8))]), dropped("value.bytes")),
        ("spelled differently", structure("counts", &[("packets", int(8)), ("bytes", int(8))]), none()),
        (
            "timer added",
            structure("stats", &[("packets", int(8)), ("bytes", int(8)), ("t", kernels("bpf_timer"))]),
            none(),
        ),
        ("another meaning of the struct", versioned(&stats(), 1), halved("value.bytes")),
        (
            "another meaning within the value",
            structure("stats", &[("packets", int(8)), ("of", versioned(&structure("of", &[("bytes", int(8))]), 1))]),
            dropped("value.bytes"),
        ),
        (
            "member added, another meaning",
            versioned(&structure("stats", &[("packets", int(8)), ("bytes", int(8)), ("drops", int(8))]), 1),
            none(),
        ),
        (
            "lock added",
            structure("stats", &[("packets", int(8)), ("bytes", int(8)), ("l", kernels("bpf_spin_lock"))]),
            none(),
        ),
    ];
    for (what, value, answers) in values {
        add(what, &old, with_value(old.clone(), &value), answers.clone());
        add(&format!("{what}, grows"), &old, larger(&with_value(old.clone(), &value)), answers.clone());
        add(&format!("{what}, shrinks"), &old, smaller(&with_value(old.clone(), &value)), answers.clone());
        let at_run_time = |def| MapDef { max_entries: 0, ..def };
        let new = at_run_time(with_value(old.clone(), &value));
        add(&format!("{what}, capacity at run time"), &at_run_time(old.clone()), new, answers);
    }
    // Fields of the kernel's in the value.
    for (name, field) in [
        ("bpf_timer", kernels("bpf_timer")),
        ("bpf_wq", kernels("bpf_wq")),
        ("bpf_list_head", kernels("bpf_list_head")),
        ("bpf_rb_root", kernels("bpf_rb_root")),
        ("bpf_spin_lock", kernels("bpf_spin_lock")),
        ("kptr", kptr()),
    ] {
        let holds = |more: &[(&str, Arc<Layout>)]| {
            let members = [&[("field", Arc::clone(&field)), ("packets", int(8))], more].concat();
            with_value(old.clone(), &structure("stats", &members))
        };
        let with = holds(&[]);
        let without = with_value(old.clone(), &structure("stats", &[("packets", int(8))]));
        let wider = holds(&[("bytes", int(8))]);
        add(&format!("{name}: nothing"), &with, with.clone(), none());
        add(&format!("{name}: grows"), &with, larger(&with), none());
        add(&format!("{name}: shrinks"), &with, smaller(&with), none());
        add(&format!("{name}: flags"), &with, MapDef { flags: 1, ..with.clone() }, dropped("value.field"));
        add(&format!("{name}: a member beside it"), &with, wider.clone(), none());
        add(&format!("{name}: a member beside it, it is dropped"), &with, wider.clone(), dropped("value.field"));
        add(&format!("{name}: a member beside it, by hand"), &with, wider, Answers { by_hand: true, ..none() });
        add(&format!("{name}: is gone"), &with, without.clone(), dropped("value.field"));
        add(&format!("{name}: is gone, grows"), &with, larger(&without), dropped("value.field"));
    }
    changes
}

fn lock(def: &MapDef) -> Lock {
    let map = LockedMap { runtime_capacity: def.lacks_capacity(), ..LockedMap::new(def.clone()) };
    Lock { maps: BTreeMap::from([(def.name.clone(), map)]), ..Lock::default() }
}

/// What the objects come to after the change.
fn observation(change: &Change) -> Observation {
    let mut lock = lock(&change.new);
    // As `observe_after` has it: a daemon's choice is remembered.
    lock.maps.values_mut().for_each(|map| map.runtime_capacity |= change.old.lacks_capacity());
    Observation { lock, ..Observation::default() }
}

/// What the gate takes of a change: each lock that it would write, and the answer that it took.
fn taken(change: &Change) -> Vec<(Lock, OnUpgrade)> {
    let (released, levels) = (lock(&change.old), Levels::default());
    let observed = observation(change);
    let mut taken = Vec::new();
    if let Ok(updated) = epochs::update(&released, &observed, &levels) {
        taken.push((updated, OnUpgrade::Reuse));
    }
    for answer in [OnUpgrade::Reuse, OnUpgrade::Migrate, OnUpgrade::Swap] {
        let Ok(accepted) = epochs::accept(&released, &observed, "m", answer, "because", &levels) else { continue };
        let answers = (answer == OnUpgrade::Migrate && !change.answers.is_empty()).then_some(Some(&change.answers));
        for answers in std::iter::once(None).chain(answers) {
            if let Ok(converting) = epochs::convert(&accepted, "m", answers) {
                taken.push((converting, answer));
            }
        }
    }
    taken
}

/// What a daemon asked for where the lock left the capacity to it.
const AT_RUN_TIME: u32 = 16;

/// A map of that definition, with entries that fit anywhere.
fn observed(def: &MapDef, id: u32) -> Observed {
    let max_entries = if def.lacks_capacity() { AT_RUN_TIME } else { def.max_entries };
    let def = MapDef { pinning: Pinning::None, flags: def.effective_flags(), max_entries, ..def.clone() };
    Observed {
        pin: "m".to_owned(),
        path: "/bpf/m".into(),
        id,
        source: Source::Meta,
        tells_version: true,
        frozen: false,
        entries: Some(if def.map_type.is_array() { def.max_entries.into() } else { 3 }),
        memory: 0,
        problem: None,
        is_denied: false,
        said: None,
        def,
    }
}

/// What a node plans that holds that map, and keeps that one.
fn planned(live: &MapDef, kept: Option<&MapDef>, lock: &Lock) -> Plan {
    planned_by(&Policies::default(), live, kept, lock)
}

fn planned_by(policies: &Policies, live: &MapDef, kept: Option<&MapDef>, lock: &Lock) -> Plan {
    let kept: Vec<_> = kept.map(|kept| observed(kept, 3)).into_iter().collect();
    plan_of(policies, &[observed(live, 7)], &kept, lock)
}

fn plan_of(policies: &Policies, live: &[Observed], kept: &[Observed], lock: &Lock) -> Plan {
    plan(&Inputs {
        spec: &Spec::from(lock.clone()),
        dir: Path::new("/bpf"),
        live,
        kept,
        ways_back: &BTreeSet::new(),
        meta: None,
        newer: &PinnedLock::default(),
        policies,
        migrations: None,
        node: Node { cpus: 1, page_size: 4 },
    })
}

/// What the gate says becomes of the map.
fn verdict(change: &Change, lock_after: &Lock) -> Verdict {
    let comparison = compare(&lock(&change.old), lock_after, &Levels::default());
    comparison.maps.into_iter().next().expect("one map")
}

#[test]
fn what_the_gate_takes_no_node_refuses_and_what_it_says_a_node_does() {
    let mut wrong = Vec::new();
    let (mut count, mut by_disposition) = (0, BTreeMap::<_, usize>::new());
    for map_type in T::ALL.iter().copied().chain([T(4711)]) {
        for change in changes(map_type) {
            for (lock, answer) in taken(&change) {
                if lock.maps["m"].ephemeral {
                    continue;
                }
                count += 1;
                let mut plan = planned(&change.old, None, &lock);
                is_told_what_is_lost(&change, &plan, &lock);
                let (says, does) = (verdict(&change, &lock), plan.maps.remove(0));
                *by_disposition.entry(does.disposition()).or_default() += 1;
                let what = format!(
                    "{} ({answer}): gate {}, node {}: {}",
                    change.what,
                    says.disposition,
                    does.disposition(),
                    does.why
                );
                // The gate can't know how large a map a daemon has made: it stays, or it grows.
                let is_chosen = change.old.lacks_capacity() && !change.new.lacks_capacity();
                let is_other = match is_chosen && says.disposition == Disposition::Reuse {
                    true => does.disposition() == Disposition::Refuse || does.action.loses_entries(),
                    false => says.disposition != does.disposition(),
                };
                if does.disposition() == Disposition::Refuse || is_other {
                    wrong.push(what);
                } else if says.loses_entries() != does.action.loses_entries() {
                    wrong.push(format!(
                        "{what}: gate loses {}, node loses {}",
                        says.loses_entries(),
                        does.action.loses_entries()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 5_000, "{count} cases");
    for disposition in [Disposition::Reuse, Disposition::Grow, Disposition::Migrate, Disposition::Swap] {
        assert!(by_disposition.get(&disposition).is_some_and(|count| *count > 50), "{by_disposition:?}");
    }
}

/// A lock that was begun anew, say.
#[test]
fn of_a_smaller_capacity_that_nobody_accepted_gate_and_node_say_the_same() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for change in T::ALL.iter().copied().flat_map(changes) {
        let (old, new) = (&change.old, &change.new);
        let is_smaller = new.max_entries < old.max_entries && !new.lacks_capacity();
        if !is_smaller || *old != (MapDef { max_entries: old.max_entries, ..new.clone() }) {
            continue;
        }
        count += 1;
        let plan = planned(old, None, &lock(new));
        let (says, does) = (verdict(&change, &lock(new)), &plan.maps[0]);
        let is_same = (says.disposition, says.loses_entries()) == (does.disposition(), does.action.loses_entries());
        if !is_same || says.loses_entries() || does.disposition() == Disposition::Refuse {
            wrong.push(format!("{}: gate {}, node {plan}", change.what, says.disposition));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 20, "{count} cases");
}

/// The same changes of a map that gets another name in the same release.
#[test]
fn of_a_map_that_is_renamed_gate_and_node_say_the_same() {
    let (mut wrong, mut count, mut by_disposition) = (Vec::new(), 0, BTreeMap::<_, usize>::new());
    // Of changes that differ in little, every fourth: each is tried above too.
    for change in T::ALL.iter().copied().chain([T(4711)]).flat_map(changes).step_by(4) {
        let new = MapDef { name: "n".to_owned(), ..change.new.clone() };
        let (released, observed) = (lock(&change.old), Observation { lock: lock(&new), ..Observation::default() });
        let ways = [OnUpgrade::Reuse, OnUpgrade::Migrate, OnUpgrade::Swap].map(Some);
        for way in std::iter::once(None).chain(ways) {
            let renamed = epochs::rename(&released, &observed, ("m", "n"), way, "because", &Levels::default());
            let Ok(renamed) = renamed else { continue };
            let answers = (!change.answers.is_empty() && way == Some(OnUpgrade::Migrate)).then_some(&change.answers);
            let Ok(lock) = epochs::convert(&renamed, "n", answers) else { continue };
            // As the node reads it.
            let lock = Lock::parse(&lock.to_string()).expect("as it was written");
            if lock.maps["n"].ephemeral || change.old.lacks_capacity() || change.new.lacks_capacity() {
                continue;
            }
            let says = compare(&released, &lock, &Levels::default());
            assert!(!says.has_breaks() && says.maps.len() == 1, "{}: {says:?}", change.what);
            let plan = planned(&change.old, None, &lock);
            let (says, does) = (&says.maps[0], &plan.maps[0]);
            assert_eq!((plan.maps.len(), does.map.as_str(), does.was.as_deref()), (1, "n", Some("m")), "{plan}");
            count += 1;
            *by_disposition.entry(does.disposition()).or_default() += 1;
            let is_same = (says.disposition, says.loses_entries()) == (does.disposition(), does.action.loses_entries());
            if !is_same || does.disposition() == Disposition::Refuse {
                wrong.push(format!("{} ({way:?}): gate {}, node {plan}", change.what, says.disposition));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 1_000, "{count} cases");
    for disposition in [Disposition::Reuse, Disposition::Grow, Disposition::Migrate, Disposition::Swap] {
        assert!(by_disposition.get(&disposition).is_some_and(|count| *count > 10), "{by_disposition:?}");
    }
}

/// Maps that are given up, by those who have them as they were, and by those who have them as they were before a change.
#[test]
fn of_a_map_that_is_given_up_gate_and_node_say_the_same() {
    let (mut count, mut refused) = (0, 0);
    for change in T::ALL.iter().copied().chain([T(4711)]).flat_map(changes).step_by(4) {
        for (lock_after, answer) in taken(&change).into_iter().chain([(lock(&change.old), OnUpgrade::Reuse)]) {
            let Ok(gone) = epochs::accept(
                &lock_after,
                &Observation::default(),
                "m",
                OnUpgrade::Drop,
                "unread",
                &Levels::default(),
            ) else {
                assert!(lock_after.maps["m"].ephemeral, "{}", change.what);
                continue;
            };
            let gone = Lock::parse(&gone.to_string()).expect("as it was written");
            for old in [&change.old, &lock_after.maps["m"].def] {
                let says = compare(&lock(old), &gone, &Levels::default());
                let plan = planned(old, None, &gone);
                let what = format!("{} ({answer}): gate {says:?}\n{plan}", change.what);
                assert_eq!((says.maps.len(), plan.maps.len()), (1, 1), "{what}");
                let does = &plan.maps[0];
                refused += usize::from(says.has_breaks());
                // What the gate takes goes with its entries, and says so.
                if !says.has_breaks() {
                    assert_eq!(does.disposition(), Disposition::Drop, "{what}");
                    assert_eq!(says.maps[0].loses_entries(), does.action.loses_entries(), "{what}");
                    assert_eq!(does.action.loses_entries(), plan.outcome().contains("given up: "), "{what}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 1_000 && refused * 10 < count, "{count} given up, {refused} of them are not told");
}

/// Where entries can't be had back from what they become, no plan says that nothing is lost.
fn is_told_what_is_lost(change: &Change, plan: &Plan, lock: &Lock) {
    let Action::Convert { carry, .. } = &plan.maps[0].action else { return };
    let steps = Converting::on_way(&lock.maps["m"], change.old.digest());
    let is_lossless = |step: &Converting<'_>| matches!(step.derive(), Ok(Some(derived)) if derived.is_lossless());
    let is_kept = steps.iter().all(is_lossless) && !carry.may_drop_entries;
    // Of programs nothing is known here, which is another matter.
    let mut quiet = plan.clone();
    quiet.maps.iter_mut().for_each(|map| map.hazard = Hazard::default());
    assert_eq!(quiet.outcome().contains("nothing is lost"), is_kept, "{}:\n{plan}", change.what);
    assert!(!plan.outcome().contains("nothing is lost") || plan.inexact().count() == 0, "{}:\n{plan}", change.what);
}

#[test]
fn a_plan_that_leaves_entries_behind_for_a_kept_map_never_says_that_nothing_is_lost() {
    let mut left = BTreeMap::<_, usize>::new();
    // By default, a larger map of the same layout stays.
    let policies = Policies { all: Policy { larger: OnMismatch::Refuse, ..Policy::default() }, ..Policies::default() };
    for map_type in T::ALL.iter().copied().chain([T(4711)]) {
        for change in changes(map_type) {
            // Down again, without the lock that tells of the way up.
            let plan = planned_by(&policies, &change.new, Some(&change.old), &lock(&change.old));
            if !matches!(plan.maps[0].action, Action::TakeBack { .. }) {
                continue;
            }
            let is_told = !plan.outcome().contains("nothing is lost") && plan.maps[0].action.loses_entries();
            assert!(is_told && plan.denied(&[Disposition::Swap]).count() == 1, "{}:\n{plan}", change.what);
            *left.entry(plan.maps[0].action.live().map(|live| live.digest == change.old.digest())).or_default() += 1;
        }
    }
    // Of the same layout and of another.
    assert!(left.len() == 2 && left.values().all(|count| *count > 2), "{left:?}");
}

#[test]
fn a_node_makes_no_map_of_a_capacity_that_nobody_told() {
    let swap = OnMismatch::Swap;
    let swaps = Policy { unknown: swap, unverifiable: swap, larger: swap, ..Policy::default() };
    let policies = Policies { all: swaps, ..Policies::default() };
    let (mut told, mut untold) = (0, 0);
    for map_type in T::ALL.iter().copied().filter(|map_type| map_type.needs_capacity()) {
        for change in changes(map_type).iter().filter(|change| change.new.max_entries == 0) {
            for (lock, _) in taken(change) {
                // That of the map which is there.
                let plan = planned_by(&policies, &change.old, None, &lock);
                let room = observed(&change.old, 7).def.max_entries;
                let asked = plan.maps[0].action.new_map().expect("it is in the lock").def.max_entries;
                assert_eq!(asked, room, "{}:\n{plan}", change.what);
                told += 1;
            }
        }
        let plan = plan_of(&policies, &[], &[], &lock(&MapDef { max_entries: 0, ..def(map_type) }));
        let (disposition, why) = (plan.maps[0].disposition(), &plan.maps[0].why);
        assert!(disposition == Disposition::Refuse && why.starts_with("maps.lock says no capacity, "), "{plan}");
        untold += 1;
    }
    assert!(told > 100 && untold > 15, "{told} and {untold} cases");
}

#[test]
fn flags_that_the_daemon_sets_are_no_break_at_the_gate_and_none_on_a_node() {
    for map_type in T::ALL.iter().copied() {
        for flags in [0, 0x1, 0x4, 0x40, 0x45] {
            let old = MapDef { flags, ..def(map_type) };
            let mut at_run_time = lock(&old.without_flags_of_memory());
            at_run_time.maps.values_mut().for_each(|map| map.runtime_flags = true);
            let observed = Observation { lock: at_run_time, ..Observation::default() };
            for released in [lock(&old), observed.lock.clone()] {
                let updated = epochs::update(&released, &observed, &Levels::default()).expect("no break");
                let comparison = compare(&released, &updated, &Levels::default());
                let (says, does) = (&comparison.maps[0], planned(&old, None, &updated).maps.remove(0));
                assert!(comparison.findings.is_empty(), "{map_type} {flags:#x}: {:?}", comparison.findings);
                assert_eq!(says.disposition, does.disposition(), "{map_type} {flags:#x}: {}", does.why);
            }
        }
    }
}

#[test]
fn what_can_become_of_entries_can_be_accepted_so() {
    let mut count = 0;
    for map_type in T::ALL.iter().copied().chain([T(4711)]) {
        for change in changes(map_type) {
            let (released, levels) = (lock(&change.old), Levels::default());
            let observed = observation(&change);
            let accept = |answer| epochs::accept(&released, &observed, "m", answer, "because", &levels);
            let wants = fate(&change.old, &change.new, OnUpgrade::Migrate);
            let converts = matches!(wants, Fate::Carried | Fate::Converted);
            // What keeps every byte, and no digest tells, is no conversion.
            let decides = compare(&released, &observed.lock, &levels).findings.iter().any(|finding| {
                finding.needs_decision() && !finding.keeps_bytes() && finding.answers().contains(&OnUpgrade::Migrate)
            });
            if decides {
                assert_eq!(accept(OnUpgrade::Migrate).is_ok(), converts, "{}: {wants:?}", change.what);
                assert!(accept(OnUpgrade::Swap).is_ok(), "{}", change.what);
                count += usize::from(converts);
            } else {
                assert!(converts || accept(OnUpgrade::Migrate).is_err(), "{}: {wants:?}", change.what);
            }
        }
    }
    assert!(count > 100, "{count} cases");
}

/// To go on with the bytes is offered where they are right, or those that were there to fill a gap are; and else never.
#[test]
fn reuse_is_offered_where_no_byte_is_read_as_what_it_was_not() {
    let of = |members: &[(&str, Arc<Layout>)]| with_value(def(T::HASH), &structure("stats", members));
    let keyed = |members: &[(&str, Arc<Layout>)]| with_key(def(T::HASH), &structure("key", members));
    let offered = |old: &MapDef, new: &MapDef| {
        let comparison = compare(&lock(old), &lock(new), &Levels::default());
        let commands = maplock_codegen::report::commands(&comparison, (&lock(old), &lock(new)), "m", "");
        commands
            .into_iter()
            .find(|command| command.line.contains(" reuse "))
            .map(|command| command.purpose.into_owned())
    };
    let old = of(&[("packets", int(8)), ("on", int(4)), ("_pad", int(4)), ("seen", int(8))]);
    for (what, new, purpose) in [
        (
            "a filler becomes a member",
            of(&[("packets", int(8)), ("on", int(4)), ("up", int(4)), ("seen", int(8))]),
            Some("if padding was 0"),
        ),
        (
            "a filler shrinks and moves",
            of(&[("packets", int(8)), ("on", int(4)), ("up", int(2)), ("_pad", int(2)), ("seen", int(8))]),
            Some("if padding was 0"),
        ),
        (
            "a filler in several parts",
            of(&[("packets", int(8)), ("on", int(4)), ("_pad1", int(2)), ("_pad2", int(2)), ("seen", int(8))]),
            Some("old bytes are right"),
        ),
        (
            "a member has another name",
            of(&[("frames", int(8)), ("on", int(4)), ("_pad", int(4)), ("seen", int(8))]),
            Some("if `frames` means what `packets` meant"),
        ),
        ("members swapped", of(&[("seen", int(8)), ("on", int(4)), ("_pad", int(4)), ("packets", int(8))]), None),
        ("a member widened over the filler", of(&[("packets", int(8)), ("on", int(8)), ("seen", int(8))]), None),
        (
            "another member in its place",
            of(&[("packets", int(8)), ("on", int(4)), ("_pad", int(4)), ("until", int(4)), ("since", int(4))]),
            None,
        ),
    ] {
        assert_eq!(offered(&old, &new).as_deref(), purpose, "{what}");
    }
    // What an entry says elsewhere may choose a new arm, but an old arm is read in old entries too.
    let host = |members: &[&str]| structure("host", &members.iter().map(|name| (*name, int(4))).collect::<Vec<_>>());
    let with_arms =
        |on: &str, arms: &[(&str, Arc<Layout>)]| of(&[("kind", int(4)), (on, int(4)), ("to", union("to", arms))]);
    let arms = [("host", host(&["v4"])), ("id", int(16))];
    let old = with_arms("_pad", &arms);
    let more = [arms.to_vec(), vec![("mac", int(8))]].concat();
    let new_arm = "if no program reads the new arm from an old entry";
    assert_eq!(offered(&old, &with_arms("_pad", &more)).as_deref(), Some(new_arm));
    let both = "if padding was 0 and no program reads the new arm from an old entry";
    assert_eq!(offered(&old, &with_arms("on", &more)).as_deref(), Some(both));
    assert_eq!(offered(&old, &with_arms("_pad", &[("host", host(&["v4", "port"])), ("id", int(16))])), None);
    // Programs look keys up by all of their bytes.
    let old = keyed(&[("a", int(4)), ("b", int(4))]);
    assert_eq!(offered(&old, &keyed(&[("a", int(4)), ("_pad", int(4))])), None);
    let padded = keyed(&[("a", int(4)), ("_pad", int(4))]);
    assert_eq!(offered(&padded, &old).as_deref(), Some("if padding was 0"));
}

#[test]
fn what_the_help_offers_is_accepted() {
    let mut strict = Levels::default();
    for rule in rules::ALL {
        strict.set(rule, Level::Deny);
    }
    for levels in [Levels::default(), strict] {
        let (mut offered, mut questions) = (BTreeMap::<_, usize>::new(), 0);
        for map_type in T::ALL.iter().copied().chain([T(4711)]) {
            for change in changes(map_type) {
                let released = lock(&change.old);
                let observed = observation(&change);
                let comparison = compare(&released, &observed.lock, &levels);
                let commands = maplock_codegen::report::commands(&comparison, (&released, &observed.lock), "m", "");
                for answer in [OnUpgrade::Reuse, OnUpgrade::Migrate, OnUpgrade::Swap] {
                    let option = format!(" --on-upgrade {answer} ");
                    if let Some(command) = commands.iter().find(|command| command.line.contains(&option)) {
                        let what = format!("{}: {} is offered", change.what, command.line);
                        let accepted = epochs::accept(&released, &observed, "m", answer, "because", &levels);
                        let accepted = accepted.unwrap_or_else(|error| panic!("{what}: {error}"));
                        let again = compare(&released, &accepted, &levels);
                        let open: Vec<_> = again.findings.iter().filter(|finding| finding.is_break()).collect();
                        assert!(open.is_empty(), "{what}, and leaves {open:?}");
                        let by_hand = command.line.contains(" --by-hand ");
                        *offered.entry((answer, by_hand)).or_default() += 1;
                        let given = Answers { by_hand, ..Answers::default() };
                        match epochs::convert(&accepted, "m", by_hand.then_some(&given)) {
                            Ok(_) => {}
                            // Each question can be answered otherwise than with what could have been offered at once.
                            Err(epochs::EpochError::Unanswered { problems, .. }) if !by_hand => {
                                let is_open = |choice: &Choice| !matches!(choice, Choice::ByHand | Choice::Swap);
                                let mut asked = problems.questions.iter();
                                assert!(asked.all(|asked| asked.choices.iter().any(is_open)), "{what}: {problems}");
                                questions += 1;
                            }
                            Err(error) => panic!("{what}: {error}"),
                        }
                    }
                }
            }
        }
        assert!(offered.len() == 4 && offered.values().all(|count| *count > 20), "{offered:?}");
        assert!(questions > 20, "{questions} of {offered:?}");
    }
}

/// A map that nobody wrote down: no meta map names it, and its BTF may have lost its tags, or never had any.
#[test]
fn what_tells_no_version_never_passes_for_what_it_may_not_be() {
    let untold = |def: &MapDef| {
        let def = maplock::layout::without_versions(def);
        Observed { source: Source::Btf, tells_version: false, ..observed(&def, 7) }
    };
    let mut by_disposition = BTreeMap::<_, usize>::new();
    for map_type in T::ALL.iter().copied() {
        for change in changes(map_type).iter().filter(|change| change.what.contains("meaning")) {
            for (lock, answer) in taken(change) {
                let plan = plan_of(&Policies::default(), &[untold(&change.old)], &[], &lock);
                let (says, does) = (verdict(change, &lock), &plan.maps[0]);
                let what = format!("{} ({answer}): {}", change.what, does.why);
                assert_eq!(does.disposition(), says.disposition, "{what}");
                *by_disposition.entry(does.disposition()).or_default() += 1;
            }
        }
    }
    for disposition in [Disposition::Reuse, Disposition::Migrate, Disposition::Swap] {
        assert!(by_disposition.get(&disposition).is_some_and(|count| *count > 10), "{by_disposition:?}");
    }
}
