//! Every disposition, and who decides it. The releases of minimesh are in `tests/tests/plan.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maplock_layout::config::Levels;
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map::{MapType as T, Pinning};
use maplock_layout::{
    Composite, CompositeKind, Digest, Disposition as D, IntKind, Layout, Lock, MapDef, Member, Observation, Shape,
    epochs,
};

use super::{Action, Carry, Inputs, MapPlan, Plan, Since, plan};
use crate::generation::meta::{Meta, MetaMap};
use crate::inspect::normalise::Node;
use crate::inspect::{Observed, Source};
use crate::plan::policy::{OnMismatch, Policies, Policy};
use crate::plan::spec::Spec;
use crate::transfer::Sum;

const NODE: Node = Node { cpus: 2, page_size: 4096 };

fn uint(size: u64) -> Arc<Layout> {
    Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
}

/// A composite of members with names and offsets in bytes.
fn composite(kind: CompositeKind, name: &str, size: u64, members: &[(&str, u64, Arc<Layout>)]) -> Arc<Layout> {
    let members = members.iter().map(|(name, offset, layout)| Member {
        name: (*name).into(),
        offset_bits: offset * 8,
        bits: None,
        layout: Arc::clone(layout),
    });
    let composite = Composite::new(kind, Some(name.into()), members.collect()).expect("few members");
    Arc::new(Layout::new(size, Shape::Composite(Arc::new(composite))))
}

fn structure(name: &str, size: u64, members: &[(&str, u64, Arc<Layout>)]) -> Arc<Layout> {
    composite(CompositeKind::Struct, name, size, members)
}

fn array(element: &Arc<Layout>, len: u32) -> Arc<Layout> {
    Arc::new(Layout::new(element.size * u64::from(len), Shape::Array { element: Arc::clone(element), len }))
}

/// Counters, the first of `width` bytes.
fn counters(width: u64) -> Arc<Layout> {
    structure("stats", 16, &[("packets", 0, uint(width)), ("seen", 8, uint(8))])
}

fn def(name: &str, map_type: T, value: &Arc<Layout>, max_entries: u32) -> MapDef {
    let (key, value) = (Some(uint(4)), Some(Arc::clone(value)));
    let value_size = value.as_ref().map_or(0, |value| value.size) as u32;
    let pinning = Pinning::ByName;
    MapDef { key_size: 4, value_size, max_entries, pinning, key, value, ..MapDef::new(name, map_type) }
}

fn hash(value: &Arc<Layout>, max_entries: u32) -> MapDef {
    def("stats", T::HASH, value, max_entries)
}

fn lock(maps: impl IntoIterator<Item = MapDef>) -> Lock {
    Lock { maps: maps.into_iter().map(|def| (def.name.clone(), LockedMap::new(def))).collect() }
}

/// What the kernel would tell of a map that was made so, with BTF.
fn pinned(def: &MapDef, id: u32, entries: u64) -> Observed {
    let def = MapDef { pinning: Pinning::None, ..def.clone() };
    Observed {
        pin: def.name.clone(),
        path: Path::new("/bpf/mesh").join(&def.name),
        id,
        source: Source::Btf,
        frozen: false,
        entries: Some(entries),
        memory: 0,
        problem: None,
        def,
    }
}

/// Without BTF, and without `maplock_meta`.
fn untyped(def: &MapDef, id: u32) -> Observed {
    let bare = MapDef { key: None, value: None, ..def.clone() };
    Observed { source: Source::Attributes, ..pinned(&bare, id, 3) }
}

#[derive(Default)]
struct Case {
    lock: Lock,
    live: Vec<Observed>,
    kept: Vec<Observed>,
    meta: Option<Meta>,
    policies: Policies,
}

impl Case {
    /// One map pinned, one asked for.
    fn one(old: &MapDef, new: &MapDef) -> Self {
        Self { lock: lock([new.clone()]), live: vec![pinned(old, 7, 12)], ..Self::default() }
    }

    /// The same, where somebody accepted the change.
    fn accepted(old: &MapDef, new: &MapDef, on_upgrade: OnUpgrade) -> Self {
        Self { lock: accept(&lock([old.clone()]), new, on_upgrade), ..Self::one(old, new) }
    }

    fn policy(mut self, policy: Policy) -> Self {
        self.policies.maps.insert("stats".to_owned(), policy);
        self
    }

    fn kept(mut self, def: &MapDef) -> Self {
        self.kept = vec![Observed { path: PathBuf::from("/bpf/mesh@prev/stats"), ..pinned(def, 3, 5) }];
        self
    }

    fn plan(&self) -> Plan {
        plan(&Inputs {
            spec: &Spec::from(self.lock.clone()),
            dir: Path::new("/bpf/mesh"),
            live: &self.live,
            kept: &self.kept,
            meta: self.meta.as_ref(),
            policies: &self.policies,
            ways_back: &Default::default(),
            migrations: None,
            node: NODE,
        })
    }

    /// The plan for the one map.
    fn decide(&self) -> MapPlan {
        let plan = self.plan();
        assert_eq!(plan.maps.len(), 1, "{plan}");
        plan.maps.into_iter().next().expect("one map")
    }
}

fn accept(from: &Lock, new: &MapDef, on_upgrade: OnUpgrade) -> Lock {
    let observed = Observation { lock: lock([new.clone()]), ..Observation::default() };
    epochs::accept(from, &observed, &new.name, on_upgrade, "because", &Levels::default()).expect("a break")
}

#[track_caller]
fn assert_is(map: &MapPlan, disposition: D, why: &str) {
    assert_eq!((map.disposition(), map.why.as_str()), (disposition, why), "{map:#?}");
}

fn policy(answer: OnMismatch) -> Policy {
    Policy { unknown: answer, unverifiable: answer, larger: answer, ..Policy::default() }
}

fn carry(map: &MapPlan) -> &Carry {
    map.action.carry().expect("its entries are carried over")
}

/// The kernel's number of the map that the state comes from.
fn id(map: &MapPlan) -> Option<u32> {
    map.action.source().map(|(_, id)| id)
}

fn from(map: &MapPlan) -> Option<Digest> {
    map.action.live().map(|live| live.digest)
}

fn to(map: &MapPlan) -> Option<Digest> {
    map.action.new_map().map(|new| new.digest)
}

/// The capacity that the new release gets.
fn asked(map: &MapPlan) -> u32 {
    map.action.new_map().expect("asked for").def.max_entries
}

#[test]
fn a_map_that_is_not_pinned_is_created() {
    let case = Case { lock: lock([hash(&counters(4), 64)]), ..Case::default() };
    let map = case.decide();
    assert_is(&map, D::Create, "new in this release");
    assert!(matches!(map.action, Action::Create { .. }));
}

#[test]
fn a_map_of_the_same_definition_is_reused() {
    let def = hash(&counters(4), 64);
    let map = Case::one(&def, &def).decide();
    assert_is(&map, D::Reuse, "same layout");
    assert_eq!(map.action.source(), Some((Path::new("/bpf/mesh/stats"), 7)));
    assert_eq!((from(&map), to(&map)), (Some(def.digest()), Some(def.digest())));
}

#[test]
fn a_larger_capacity_grows_the_map_and_says_what_it_takes() {
    let map = Case::one(&hash(&counters(4), 64), &hash(&counters(4), 4096)).decide();
    assert_is(&map, D::Grow, "max_entries 64 -> 4096, every entry kept");
    assert_eq!(carry(&map).snapshot, 12 * (8 + 16));
    assert_eq!(map.estimate().as_nanos(), 12 * 600);
}

#[test]
fn a_capacity_chosen_at_run_time_counts_instead_of_the_declared_one() {
    let def = hash(&counters(4), 64);
    let chosen = Policy { max_entries: Some(100), ..Policy::default() };
    let map = Case::one(&def, &def).policy(chosen.clone()).decide();
    assert_is(&map, D::Grow, "max_entries 64 -> 100, every entry kept");
    assert_eq!(asked(&map), 100);
    let map = Case::one(&hash(&counters(4), 100), &def).policy(chosen).decide();
    assert_is(&map, D::Reuse, "same layout");
}

#[test]
fn a_change_that_no_epoch_knows_is_refused_with_the_change() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let map = Case::one(&old, &new).decide();
    let why = format!("packets u32 -> u64; no epoch leads from {}", old.digest().short());
    assert_is(&map, D::Refuse, &why);
    assert!(map.findings.iter().any(|finding| finding.rule.id == "member-type-changed"), "{:?}", map.findings);
    assert!(!map.action.loses_entries());
}

#[test]
fn an_epoch_decides_what_it_was_accepted_for() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let swap = Case::accepted(&old, &new, OnUpgrade::Swap).decide();
    assert_is(&swap, D::Swap, "starts empty: packets u32 -> u64 (accepted: \"because\")");
    assert!(swap.action.loses_entries());
    let migrate = Case::accepted(&old, &new, OnUpgrade::Migrate).decide();
    assert_is(&migrate, D::Migrate, "packets u32 -> u64 (accepted: \"because\")");
    assert!(matches!(migrate.action, Action::Convert { .. }) && carry(&migrate).snapshot > 0);
    // The other way, numbers may not fit, and the epoch does not say what then.
    let unable = format!(
        "packets u64 -> u32 (accepted: \"because\"); its entries can't be converted: the epoch from {}: `value.packets` was u64 and is narrower now, u32: what becomes of a number that does not fit: --cast value.packets=refuse or --cast value.packets=saturate or --cast value.packets=truncate or --drop value.packets",
        new.digest().short()
    );
    let narrowed = Case::accepted(&new, &old, OnUpgrade::Migrate).decide();
    assert_is(&narrowed, D::Refuse, &unable);
    let instead = Case::accepted(&new, &old, OnUpgrade::Migrate).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&instead, D::Swap, &format!("{unable} (policy: swap)"));
    let reuse = Case::accepted(&old, &new, OnUpgrade::Reuse).decide();
    assert_is(&reuse, D::Reuse, "packets u32 -> u64 (accepted: \"because\")");
    let refuse = Case::accepted(&old, &new, OnUpgrade::Refuse).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&refuse, D::Refuse, "packets u32 -> u64; accepted as `refuse` (accepted: \"because\")");
}

#[test]
fn a_policy_decides_what_no_epoch_knows() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let why = format!("packets u32 -> u64; no epoch leads from {}", old.digest().short());
    let swap = Case::one(&old, &new).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&swap, D::Swap, &format!("{why} (policy: swap)"));
    let reuse = Case::one(&old, &new).policy(policy(OnMismatch::Reuse)).decide();
    assert_is(&reuse, D::Reuse, &format!("{why} (policy: reuse)"));
    let all =
        Case { policies: Policies { all: policy(OnMismatch::Swap), ..Policies::default() }, ..Case::one(&old, &new) };
    assert_eq!(all.decide().disposition(), D::Swap);
}

#[test]
fn a_policy_cannot_reuse_what_the_kernel_would_not_take() {
    let bigger = structure("stats", 24, &[("packets", 0, uint(8)), ("seen", 8, uint(8)), ("more", 16, uint(8))]);
    let (old, new) = (hash(&counters(8), 64), hash(&bigger, 64));
    let map = Case::one(&old, &new).policy(policy(OnMismatch::Reuse)).decide();
    assert_eq!(map.disposition(), D::Refuse);
    let expected = "; policy `reuse` can't be: the value of `stats` takes 24 bytes, it took 16";
    assert!(map.why.ends_with(expected), "{}", map.why);
    let flags = MapDef { flags: 1, ..old.clone() };
    let map = Case::one(&old, &flags).policy(policy(OnMismatch::Reuse)).decide();
    assert_eq!(map.disposition(), D::Refuse, "{}", map.why);
}

#[test]
fn a_map_whose_layout_nothing_tells_is_refused_unless_a_policy_says_otherwise() {
    let def = hash(&counters(4), 64);
    let case = || Case { live: vec![untyped(&def, 7)], ..Case::one(&def, &def) };
    let why = "nothing tells its layout: no BTF, no maplock_meta";
    assert_is(&case().decide(), D::Refuse, why);
    assert_is(&case().policy(policy(OnMismatch::Swap)).decide(), D::Swap, &format!("{why} (policy: swap)"));
    assert_is(&case().policy(policy(OnMismatch::Reuse)).decide(), D::Reuse, &format!("{why} (policy: reuse)"));
    let unreadable = Observed { problem: Some("its BTF, id 5, can't be read: EPERM".to_owned()), ..untyped(&def, 7) };
    let map = Case { live: vec![unreadable], ..case() }.decide();
    assert_is(&map, D::Refuse, "nothing tells its layout: its BTF, id 5, can't be read: EPERM");
}

#[test]
fn a_map_that_is_declared_by_sizes_is_verified_by_sizes() {
    let bare = MapDef { key: None, value: None, ..hash(&counters(4), 64) };
    let case = Case { live: vec![untyped(&bare, 7)], ..Case::one(&bare, &bare) };
    assert_is(&case.decide(), D::Reuse, "same layout");
}

#[test]
fn a_map_that_was_declared_by_sizes_follows_the_epoch_that_gave_it_types() {
    let (typed, bare) = (hash(&counters(4), 64), MapDef { key: None, value: None, ..hash(&counters(4), 64) });
    let observed = Observation { lock: lock([typed.clone()]), ..Observation::default() };
    let lock = epochs::update(&lock([bare]), &observed, &Levels::default()).expect("needs no decision");
    let case = Case { lock, live: vec![untyped(&typed, 7)], ..Case::default() };
    assert_eq!(case.decide().disposition(), D::Reuse);
}

#[test]
fn types_of_indexes_are_not_missed_where_the_kernel_keeps_none() {
    for map_type in [T::DEVMAP, T::XSKMAP, T::STACK_TRACE] {
        let def = def("stats", map_type, &uint(4), 8);
        let flags = def.effective_flags();
        let live = Observed { def: MapDef { flags, ..untyped(&def, 7).def }, ..untyped(&def, 7) };
        assert_is(&Case { live: vec![live], ..Case::one(&def, &def) }.decide(), D::Reuse, "same layout");
    }
}

#[test]
fn a_larger_map_than_asked_is_refused_kept_or_swapped_as_the_policy_says() {
    let (old, new) = (hash(&counters(4), 4096), hash(&counters(4), 64));
    let why = "holds up to 4096 entries, 64 asked";
    assert_is(&Case::one(&old, &new).decide(), D::Refuse, why);
    let kept = Case::one(&old, &new).policy(policy(OnMismatch::Reuse)).decide();
    assert_is(&kept, D::Reuse, &format!("{why} (policy: reuse)"));
    assert_eq!(asked(&kept), 4096);
    assert_is(
        &Case::one(&old, &new).policy(policy(OnMismatch::Swap)).decide(),
        D::Swap,
        &format!("{why} (policy: swap)"),
    );
}

#[test]
fn an_accepted_smaller_capacity_is_refused_where_the_entries_do_not_fit() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(4), 16));
    let mut case = Case::accepted(&old, &new, OnUpgrade::Migrate);
    assert_eq!(case.decide().disposition(), D::Migrate);
    case.live[0].entries = Some(17);
    assert_is(&case.decide(), D::Refuse, "17 entries don't fit into 16");
}

#[test]
fn several_releases_in_one_step_follow_their_epochs() {
    let named = |name: &str| structure("stats", 16, &[(name, 0, uint(8)), ("seen", 8, uint(8))]);
    let releases =
        [hash(&counters(4), 64), hash(&counters(8), 64), hash(&named("frames"), 64), hash(&named("cells"), 64)];
    let mut lock = lock([releases[0].clone()]);
    for new in &releases[1..] {
        lock = accept(&lock, new, OnUpgrade::Swap);
    }
    for old in &releases[..3] {
        let case = Case { lock: lock.clone(), live: vec![pinned(old, 7, 12)], ..Case::default() };
        let map = case.decide();
        assert_eq!(map.disposition(), D::Swap, "{}", map.why);
        assert_eq!(from(&map), Some(old.digest()));
    }
    let stranger = hash(&named("other"), 64);
    let case = Case { lock, live: vec![pinned(&stranger, 7, 12)], ..Case::default() };
    assert_eq!(case.decide().disposition(), D::Refuse);
}

#[test]
fn what_the_meta_map_says_a_map_counts_as_wins_over_its_making() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let case = Case::one(&old, &new);
    assert_eq!(case.decide().disposition(), D::Refuse);
    // As `inspect` tells it where the meta map names its id.
    let counts = Observed { source: Source::Meta, ..pinned(&new, 7, 12) };
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
    case.live[1].id = 10;
    assert_eq!(case.plan().maps.len(), 1, "another map under that name is a foreign pin");
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
    assert!(larger.policy(policy(OnMismatch::Reuse)).plan().leaves_kept);
    // One map more, or less.
    let mut goes = case(64);
    goes.live.push(pinned(&MapDef { name: "old".to_owned(), ..stats.clone() }, 8, 0));
    let old = MetaMap { id: 8, max_entries: 64 };
    goes.meta.as_mut().expect("it has one").maps.insert("old".to_owned(), old);
    assert!(!goes.plan().leaves_kept);
}

#[test]
fn a_map_of_another_layout_gives_way_to_the_kept_one_that_fits() {
    let (newer, older) = (hash(&counters(8), 64), hash(&counters(4), 64));
    let map = Case::one(&newer, &older).kept(&older).decide();
    let why = "returns to the map kept since the last upgrade; 12 entries of the live one not carried back";
    assert_is(&map, D::Reuse, why);
    assert!(matches!(map.action, Action::TakeBack { since: Since::Left { loses_entries: true, .. }, .. }));
    assert_eq!(map.action.source(), Some((Path::new("/bpf/mesh@prev/stats"), 3)));
    // One that is not exactly what is asked for is left alone.
    let map = Case::one(&newer, &older).kept(&hash(&counters(4), 32)).decide();
    assert_eq!((map.disposition(), map.action.returns_to_kept()), (D::Refuse, false));
}

#[test]
fn a_larger_map_gives_way_to_the_kept_one_where_its_entries_fit() {
    let (newer, older) = (hash(&counters(4), 4096), hash(&counters(4), 64));
    let mut case = Case::one(&newer, &older).kept(&older);
    let map = case.decide();
    assert_is(&map, D::Reuse, "returns to the kept map of 64, 12 entries carried back");
    assert!(matches!(map.action, Action::CarryBack { .. }));
    assert!(carry(&map).snapshot > 0 && !map.estimate().is_zero());
    case.live[0].entries = Some(65);
    let why = "holds up to 4096 entries, 64 asked; 65 entries don't fit the kept map";
    assert_is(&case.decide(), D::Refuse, why);
    case.live[0].entries = None;
    assert_is(&case.decide(), D::Reuse, "returns to the kept map of 64, entries carried back where they fit");
    // A policy that keeps the larger one comes first.
    let map = case.policy(policy(OnMismatch::Reuse)).decide();
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
fn tables_that_loaders_fill_are_made_anew_and_nothing_is_lost() {
    for map_type in [T::PROG_ARRAY, T::PERF_EVENT_ARRAY, T::CGROUP_ARRAY] {
        let def = def("stats", map_type, &uint(4), 8);
        for new in [def.clone(), MapDef { max_entries: 16, ..def.clone() }, MapDef { max_entries: 4, ..def.clone() }] {
            let case = Case { live: vec![untyped(&def, 7)], ..Case::one(&def, &new) };
            let plan = case.plan();
            assert_is(&plan.maps[0], D::Swap, "filled anew by the new programs; the old ones keep theirs");
            assert!(!plan.maps[0].action.loses_entries());
            assert_eq!(plan.denied(&[D::Swap, D::Refuse]).count(), 0, "nothing to hold an upgrade back for");
        }
    }
}

#[test]
fn a_ring_buffer_that_grows_is_made_anew_and_the_old_one_is_kept() {
    let ring = |max_entries| MapDef { max_entries, pinning: Pinning::ByName, ..MapDef::new("stats", T::RINGBUF) };
    let map = Case::one(&ring(4096), &ring(8192)).decide();
    assert_is(&map, D::Swap, "4096 -> 8192 bytes; events not yet read stay in the old buffer, which is kept");
    assert!(!map.action.loses_entries());
    // 5000 bytes are 8192 in whole pages.
    assert_is(&Case::one(&ring(8192), &ring(5000)).decide(), D::Reuse, "same layout");
}

#[test]
fn a_ring_buffer_that_shrinks_again_is_made_anew_too() {
    let ring = |max_entries| MapDef { max_entries, pinning: Pinning::ByName, ..MapDef::new("stats", T::RINGBUF) };
    let map = Case::one(&ring(8192), &ring(4096)).decide();
    assert_is(&map, D::Swap, "8192 -> 4096 bytes; events not yet read stay in the old buffer, which is kept");
}

#[test]
fn an_lru_without_slack_may_drop_entries_and_says_so() {
    let lru = |max_entries| def("stats", T::LRU_HASH, &counters(4), max_entries);
    // 12 entries, and 128 for each of two CPUs.
    let plan = Case::one(&lru(64), &lru(12 + 256 - 1)).plan();
    assert_is(&plan.maps[0], D::Grow, "max_entries 64 -> 267; an LRU this full may drop some entries");
    let last = plan.to_string().lines().last().map(str::to_owned);
    assert_eq!(last.as_deref(), Some("may drop entries: stats · under 1 ms · traffic keeps running"));
    let map = Case::one(&lru(64), &lru(12 + 256)).decide();
    assert_is(&map, D::Grow, "max_entries 64 -> 268, every entry kept");
    assert!(!carry(&map).may_drop_entries);
}

#[test]
fn it_is_the_map_that_entries_go_to_which_may_drop_some() {
    let of = |map_type| def("stats", map_type, &counters(4), 64);
    let map = Case::accepted(&of(T::LRU_HASH), &of(T::HASH), OnUpgrade::Migrate).decide();
    assert_eq!((map.disposition(), carry(&map).may_drop_entries), (D::Migrate, false), "{}", map.why);
    let map = Case::accepted(&of(T::HASH), &of(T::LRU_HASH), OnUpgrade::Migrate).decide();
    assert_eq!((map.disposition(), carry(&map).may_drop_entries), (D::Migrate, true), "{}", map.why);
}

#[test]
fn an_array_that_shrinks_is_not_refused_for_being_full() {
    let array = |max_entries| def("stats", T::ARRAY, &counters(4), max_entries);
    let mut case = Case::accepted(&array(64), &array(16), OnUpgrade::Migrate);
    case.live = vec![pinned(&array(64), 7, 64)];
    // The copy finds out whether what lies behind the new end is zero.
    assert_eq!(case.decide().disposition(), D::Migrate);
    let hash = |max_entries| def("stats", T::HASH, &counters(4), max_entries);
    let mut case = Case::accepted(&hash(64), &hash(16), OnUpgrade::Migrate);
    case.live = vec![pinned(&hash(64), 7, 64)];
    assert_is(&case.decide(), D::Refuse, "64 entries don't fit into 16");
}

#[test]
fn a_map_that_cannot_be_copied_keeps_its_size() {
    let bloom = |max_entries| MapDef { key: None, key_size: 0, ..def("stats", T::BLOOM_FILTER, &uint(8), max_entries) };
    let map = Case::one(&bloom(64), &bloom(128)).decide();
    let why = "max_entries stays at 64: entries of a bloom_filter can't be copied: a bloom filter does not tell what was added to it";
    assert_is(&map, D::Reuse, why);
    assert_eq!(asked(&map), 64);
    let storage = |width| MapDef { flags: 1, ..def("stats", T::SK_STORAGE, &counters(width), 0) };
    let mut case = Case::accepted(&storage(4), &storage(8), OnUpgrade::Swap);
    // No gate takes this, but a lock may say it.
    case.lock.maps.get_mut("stats").expect("locked").epochs[0].on_upgrade = OnUpgrade::Migrate;
    let map = case.decide();
    assert_eq!(map.disposition(), D::Refuse);
    assert!(map.why.starts_with("entries of a sk_storage can't be copied"), "{}", map.why);
}

#[test]
fn values_with_timers_cannot_be_copied_and_those_with_locks_can() {
    let with = |name| {
        let inner = structure(name, 16, &[("opaque", 0, array(&uint(8), 2))]);
        structure("stats", 24, &[("field", 0, inner), ("packets", 16, uint(8))])
    };
    let kptr = Arc::new(Layout::new(8, Shape::Pointer { target: "kptr struct task_struct".into() }));
    let kptr = structure("stats", 16, &[("task", 0, kptr), ("packets", 8, uint(8))]);
    let plain = Arc::new(Layout::new(8, Shape::Pointer { target: "struct task_struct".into() }));
    let plain = structure("stats", 16, &[("task", 0, plain), ("packets", 8, uint(8))]);
    for (value, grows) in [
        (with("bpf_timer"), false),
        (with("bpf_list_head"), false),
        (array(&with("bpf_rb_root"), 2), false),
        (kptr, false),
        (with("bpf_spin_lock"), true),
        (plain, true),
    ] {
        let map = Case::one(&hash(&value, 64), &hash(&value, 128)).decide();
        assert_eq!(map.disposition() == D::Grow, grows, "{}: {}", value.spelling(), map.why);
    }
}

#[test]
fn summed_members_become_offsets_and_spare_the_snapshot() {
    let cell = structure("cell", 16, &[("bytes", 0, uint(8)), ("frames", 8, uint(4))]);
    let value = structure("stats", 40, &[("packets", 0, uint(8)), ("cells", 8, array(&cell, 2))]);
    let case = |sum: &[&str]| {
        let sum = sum.iter().map(|path| (*path).to_owned()).collect();
        Case::one(&hash(&value, 64), &hash(&value, 128)).policy(Policy { sum, ..Policy::default() }).decide()
    };
    let map = case(&["packets", "cells[].bytes"]);
    let sum = |offset, width| Sum { offset, width };
    assert_eq!(carry(&map).sums, [sum(0, 8), sum(8, 8), sum(24, 8)]);
    assert!(carry(&map).snapshot > 0, "`frames` must be remembered");
    // Bytes 20 to 24 of each cell are padding.
    let map = case(&["packets", "cells[].bytes", "cells[].frames"]);
    assert_eq!(carry(&map).sums, [sum(0, 8), sum(8, 8), sum(16, 4), sum(24, 8), sum(32, 4)]);
    assert!(carry(&map).snapshot > 0, "padding is copied as it is");
    let all = structure("all", 16, &[("packets", 0, uint(8)), ("bytes", 8, uint(8))]);
    let sum = Policy { sum: vec!["packets".to_owned(), "bytes".to_owned()], ..Policy::default() };
    assert_eq!(carry(&Case::one(&hash(&all, 64), &hash(&all, 128)).policy(sum).decide()).snapshot, 0);
}

#[test]
fn a_value_that_is_one_integer_or_an_array_of_them_can_be_summed() {
    let sums = |value: &Arc<Layout>, path: &str| {
        super::sums::resolve(Some(value), &BTreeSet::from([path.to_owned()])).expect("integers")
    };
    assert_eq!(sums(&uint(8), "value"), [Sum { offset: 0, width: 8 }]);
    assert_eq!(sums(&array(&uint(4), 3), "value[]").len(), 3);
    assert_eq!(sums(&array(&array(&uint(4), 3), 2), "value[][]").len(), 6);
}

#[test]
fn what_cannot_be_summed_is_refused_with_the_member_and_its_type() {
    let bits = Member { name: "bits".into(), offset_bits: 64, bits: Some(3), layout: uint(4) };
    let mut members = vec![bits];
    for (name, offset, layout) in [
        ("flag", 0, Arc::new(Layout::new(4, Shape::Int(IntKind::Bool)))),
        ("small", 4, uint(2)),
        ("crooked", 14, uint(4)),
        ("counts", 20, array(&uint(4), 2)),
        ("either", 28, composite(CompositeKind::Union, "either", 4, &[("one", 0, uint(4)), ("other", 0, uint(4))])),
        ("ratio", 32, Arc::new(Layout::new(8, Shape::Float))),
    ] {
        members.push(Member { name: name.into(), offset_bits: offset * 8, bits: None, layout });
    }
    let value = Composite::new(CompositeKind::Struct, Some("odd".into()), members).expect("few members");
    let value = Arc::new(Layout::new(40, Shape::Composite(Arc::new(value))));
    // In the words of `sum_places`, which has tests of its own.
    for path in ["flag", "ratio", "small", "crooked", "counts", "bits", "either.one", "flag.more", "small[]", "none"] {
        let sum = Policy { sum: vec![path.to_owned()], ..Policy::default() };
        let problem = maplock_layout::sum_places(&value, path).expect_err("it can't be summed");
        let why = format!("`sum` names `{path}`: {problem}");
        assert_is(&Case::one(&hash(&value, 64), &hash(&value, 64)).policy(sum).decide(), D::Refuse, &why);
    }
}

fn mixed() -> Case {
    let named = |name: &str, def: MapDef| MapDef { name: name.to_owned(), ..def };
    let frontends = named("frontends", hash(&counters(4), 64));
    let stats = accept(&lock([hash(&counters(4), 4096)]), &hash(&counters(8), 4096), OnUpgrade::Swap);
    let mut asked =
        lock([frontends.clone(), named("backends", hash(&counters(4), 4096)), named("drops", hash(&uint(8), 64))]);
    asked.maps.extend(stats.maps);
    let live = vec![
        pinned(&frontends, 1, 12),
        pinned(&named("backends", hash(&counters(4), 64)), 2, 64),
        pinned(&hash(&counters(4), 4096), 3, 812),
    ];
    Case { lock: asked, live, ..Case::default() }
}

#[test]
fn the_table_is_read_in_ten_seconds() {
    let expected = "\
map         entries  what    why
backends    64/64    grow    max_entries 64 -> 4096, every entry kept
drops        -       create  new in this release
frontends   12/64    reuse   same layout
stats      812/4096  swap    starts empty: packets u32 -> u64 (accepted: \"because\")
lost: 812 entries of stats · under 1 ms · traffic keeps running";
    assert_eq!(mixed().plan().to_string(), expected);

    let mut refused = mixed();
    refused.lock = lock(refused.lock.maps.into_values().map(|map| map.def));
    let text = refused.plan().to_string();
    assert!(text.ends_with("\nthe upgrade does not start: stats refused"), "{text}");
}

#[test]
fn the_json_has_the_documented_names() {
    let json = mixed().plan().to_json();
    assert_eq!(json["dir"], "/bpf/mesh");
    assert_eq!(json["refused"], false);
    let stats = &json["maps"][3];
    assert_eq!((&stats["map"], &stats["disposition"]), (&"stats".into(), &"swap".into()));
    assert_eq!((&stats["entries"], &stats["loses_entries"]), (&812.into(), &true.into()));
    assert_eq!(stats["findings"][0]["rule"], "member-type-changed");
    assert_eq!(stats["findings"][0]["accepted"], "swap");
    let keys: Vec<_> = stats.as_object().expect("an object").keys().map(String::as_str).collect();
    let documented = [
        "carried_back",
        "disposition",
        "entries",
        "estimate_ms",
        "findings",
        "from",
        "from_kept",
        "id",
        "loses_entries",
        "map",
        "max_entries",
        "may_drop_entries",
        "old_max_entries",
        "pin",
        "snapshot_bytes",
        "sums",
        "to",
        "why",
    ];
    assert_eq!(keys, documented);
}

#[test]
fn a_plan_can_be_denied_for_what_it_does() {
    let plan = mixed().plan();
    let denied = |deny: &[D]| plan.denied(deny).map(|map| map.map.clone()).collect::<Vec<_>>();
    assert_eq!(denied(&[D::Swap, D::Refuse]), ["stats"]);
    assert_eq!(denied(&[D::Grow]), ["backends"]);
    assert!(denied(&[D::Drop]).is_empty());
    assert!(!plan.is_refused());
}
