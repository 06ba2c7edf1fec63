//! What a plan calls exact, the report calls exact, and nothing else: for shapes of maps that are settled in other ways than most.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use maplock::internals::sys::{Map, has_atomic_fetch, tries_heed_noexist};
use maplock::layout::map::{MapType as T, Pinning};
use maplock::layout::{Layout, Lock, MapDef, ProgramUse};
use maplock::plan::{Doubt, Inexact, MapPlan};
use maplock::{MapReport, Options, Policies, Policy, Spec};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::shapes::{bytes, locked, structure, uint};

use crate::meanwhile::{converted, lock};

/// A map of both releases.
struct Row {
    old: MapDef,
    new: MapDef,
    sums: &'static [&'static str],
    /// Why it is not exact, on every kernel.
    why: Option<Inexact>,
}

fn def(map_type: T, key: Option<&Arc<Layout>>, value: &Arc<Layout>) -> MapDef {
    let size = |layout: &Arc<Layout>| u32::try_from(layout.size).expect("small");
    MapDef {
        key_size: key.map_or(0, size),
        value_size: size(value),
        max_entries: 16,
        flags: if map_type == T::LPM_TRIE { 1 } else { 0 },
        pinning: Pinning::ByName,
        key: key.cloned(),
        value: Some(Arc::clone(value)),
        ..MapDef::new("st", map_type)
    }
}

/// One that grows.
fn grown(map_type: T, key: &Arc<Layout>, value: &Arc<Layout>, why: Option<Inexact>) -> Row {
    let old = def(map_type, Some(key), value);
    Row { new: MapDef { max_entries: 32, ..old.clone() }, old, sums: &[], why }
}

/// One whose count gets wider.
fn widened(map_type: T, key: Option<&Arc<Layout>>, rest: u32, why: Option<Inexact>) -> Row {
    let value = |width: u64| {
        let size = (width + u64::from(rest)).next_multiple_of(width);
        structure("v", size, &[("n", 0, uint(width)), ("rest", width, bytes(rest))])
    };
    Row { old: def(map_type, key, &value(4)), new: def(map_type, key, &value(8)), sums: &[], why }
}

fn prefix(data: u32) -> Arc<Layout> {
    structure("k", u64::from(data) + 4, &[("bits", 0, uint(4)), ("address", 4, bytes(data))])
}

fn policies(row: &Row) -> Policies {
    let sum = row.sums.iter().map(|member| (*member).to_owned()).collect();
    Policies { maps: [("st".to_owned(), Policy { sum, ..Policy::default() })].into(), ..Policies::default() }
}

/// An upgrade of the map: what was planned, and what is reported.
fn upgraded(lock: &Lock, policies: Policies, dir: &Path) -> (MapPlan, MapReport) {
    let upgrade = Options::new(Spec::from(lock.clone()), dir).policies(policies).begin().expect("begun");
    let plan = upgrade.plan().maps[0].clone();
    let report = upgrade.stage().expect("staged").commit().expect("committed");
    (plan, report.maps[0].clone())
}

/// The locks of both releases. Their programs read; nobody deletes.
fn locks(row: &Row) -> (Lock, Lock) {
    let reads = || Some(ProgramUse::default());
    let (old, new) = (lock(row.old.clone(), reads(), true), lock(row.new.clone(), reads(), true));
    let is_converted = row.old.digest() != row.new.digest();
    let new = if is_converted { converted(&old, new) } else { new };
    (old, new)
}

fn install(old: &Lock, dir: &Path) {
    upgraded(old, Policies::default(), dir);
    let map = Map::open(&dir.join("st")).expect("pinned");
    let key = vec![0; map.info().key_size as usize];
    map.update(&key, &vec![0; map.value_bytes()], 0).expect("room");
}

/// The same doubts of how it is settled, and the same verdict.
fn check(row: &Row, (plan, report): &(MapPlan, MapReport)) {
    let MapDef { map_type, key_size, value_size, .. } = row.old;
    let what = format!("{map_type} {key_size} -> {value_size}: {plan:?}\n{report:?}");
    assert_eq!(plan.hazard.doubts, report.doubts, "{what}");
    assert_eq!(plan.is_exact(), report.exact, "{what}");
    let found: BTreeSet<_> = report.doubts.iter().copied().collect();
    match row.why {
        Some(why) => assert_eq!(found, [Doubt::Settling(why)].into(), "{what}"),
        // An older kernel may have its own.
        None => {
            let of_kernel = [
                (!kernel::has_helper("bpf_loop"), Inexact::Kernel),
                (!kernel::has_helper("bpf_map_lookup_percpu_elem"), Inexact::NoProgram),
                (!has_atomic_fetch(), Inexact::NoExchange),
                (!tries_heed_noexist(), Inexact::Prefix),
            ];
            let of_kernel = of_kernel.into_iter().filter(|(is_old, _)| *is_old).map(|(_, why)| Doubt::Settling(why));
            assert!(found.is_subset(&of_kernel.collect()), "{what}");
        }
    }
}

#[test]
fn a_plan_calls_a_map_exact_if_and_only_if_the_report_does() {
    if !kernel::available() {
        return;
    }
    let (four, eight) = (uint(4), uint(8));
    let both = structure("v", 16, &[("n", 0, uint(8)), ("x", 8, uint(4))]);
    let (no_word, no_program) = (Some(Inexact::NoWord), Some(Inexact::NoProgram));
    let count = |row| Row { sums: &["n"], ..row };
    let rows = [
        count(grown(T::HASH, &four, &both, None)),
        grown(T::HASH, &four, &uint(1), no_word),
        grown(T::HASH, &four, &bytes(6), no_word),
        grown(T::ARRAY, &four, &uint(2), no_word),
        grown(T::PERCPU_HASH, &four, &bytes(7), no_word),
        count(grown(T::PERCPU_ARRAY, &four, &both, None)),
        // IPv4, IPv6, and what leaves a value on 2 bytes.
        count(grown(T::LPM_TRIE, &prefix(4), &both, None)),
        grown(T::LPM_TRIE, &prefix(4), &eight, None),
        count(grown(T::LPM_TRIE, &prefix(16), &both, None)),
        count(grown(T::LPM_TRIE, &prefix(6), &both, no_word)),
        grown(T::HASH, &bytes(368), &eight, None),
        grown(T::HASH, &bytes(376), &eight, no_program),
        grown(T::HASH, &four, &bytes(4800), None),
        count(grown(T::HASH, &four, &locked("bpf_spin_lock"), None)),
        count(grown(T::ARRAY, &four, &locked("bpf_spin_lock"), None)),
        count(widened(T::HASH, Some(&four), 8, None)),
        count(widened(T::PERCPU_HASH, Some(&four), 8, None)),
        count(widened(T::LPM_TRIE, Some(&prefix(16)), 8, no_program)),
        // More than a program of ours loads from or stores to; system calls settle what each CPU has.
        count(widened(T::PERCPU_HASH, Some(&four), 32_756, no_program)),
        count(widened(T::HASH, Some(&four), 32_756, None)),
        widened(T::QUEUE, None, 8, None),
        widened(T::STACK, None, 8, None),
        count(Row {
            old: def(T::ARRAY, Some(&four), &both),
            new: def(T::HASH, Some(&four), &both),
            sums: &[],
            why: None,
        }),
    ];
    for row in rows {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let (old, new) = locks(&row);
        install(&old, &dir);
        let told = upgraded(&new, policies(&row), &dir);
        check(&row, &told);
    }
}

/// A lock that programs of maplock do not take, where the kernel knows it (Linux 6.15).
#[test]
fn a_resilient_lock_is_not_taken_and_the_plan_says_so() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let mut row = grown(T::HASH, &uint(4), &locked("bpf_res_spin_lock"), None);
    row.sums = &["n"];
    let (old, new) = locks(&row);
    install(&old, &dir);
    let told = upgraded(&new, policies(&row), &dir);
    if Map::open(&dir.join("st")).expect("pinned").info().btf_id != 0 {
        row.why = Some(Inexact::Lock);
    }
    check(&row, &told);
}

/// Where the kept map takes its place again, what was written since is converted back into it, in the way of its type.
#[test]
fn a_map_that_is_converted_back_is_not_called_exact_before() {
    if !kernel::available() {
        return;
    }
    let settling = |doubts: &BTreeSet<Doubt>| {
        doubts.iter().copied().filter(|doubt| matches!(doubt, Doubt::Settling(_))).collect::<Vec<_>>()
    };
    for (map_type, key, why) in
        [(T::HASH, uint(4), None), (T::LPM_TRIE, prefix(16), Some(Doubt::Settling(Inexact::NoProgram)))]
    {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let row = widened(map_type, Some(&key), 8, None);
        let (old, new) = locks(&row);
        install(&old, &dir);
        upgraded(&new, policies(&row), &dir);
        let (plan, report) = upgraded(&old, policies(&row), &dir);
        assert!(plan.action.returns_to_kept() && !plan.is_exact(), "{plan:?}");
        assert!(!plan.why_inexact().is_empty(), "{plan:?}");
        assert_eq!(settling(&plan.hazard.doubts), settling(&report.doubts), "{plan:?}\n{report:?}");
        if let Some(why) = why {
            assert_eq!(settling(&report.doubts), [why], "{report:?}");
        }
    }
}

/// Without CAP_PERFMON, no iterator is loaded: what is lost by that is said of this process, and not of the kernel.
#[test]
fn who_lacks_a_capability_is_told_so_before_and_afterwards() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    if !kernel::available() {
        return;
    }
    let both = structure("v", 16, &[("n", 0, uint(8)), ("x", 8, uint(4))]);
    for map_type in [T::HASH, T::ARRAY] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let row = Row { sums: &["n"], ..grown(map_type, &uint(4), &both, None) };
        let (old, new) = locks(&row);
        install(&old, &dir);
        let (plan, report) = std::thread::scope(|scope| {
            let with_less = || {
                let mut sets = capabilities(None).expect("told");
                sets.effective -= CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN;
                set_capabilities(None, sets).expect("less is always given");
                upgraded(&new, policies(&row), &dir)
            };
            scope.spawn(with_less).join().expect("upgraded")
        });
        assert_eq!(plan.hazard.doubts, report.doubts, "{map_type}: {plan:?}\n{report:?}");
        assert_eq!(plan.is_exact(), report.exact, "{map_type}: {plan:?}\n{report:?}");
        if map_type == T::HASH {
            assert_eq!(report.doubts, [Doubt::Settling(Inexact::Lacks("CAP_PERFMON"))].into());
            let told = "at the very moment of settling may be lost: this process lacks CAP_PERFMON, and programs";
            assert!(plan.hazards()[0].contains(told), "{:?}", plan.hazards());
        }
    }
}
