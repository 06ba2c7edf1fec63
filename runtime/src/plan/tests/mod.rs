//! Every disposition, and who decides it. The releases of minimesh are in `tests/tests/plan.rs`.

mod answers;
mod capacity;
mod entries;
mod flags;
mod generations;
mod hazards;
mod names;
mod parts;
mod shown;
mod versions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maplock_layout::config::Levels;
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map::{MapType as T, Pinning};
use maplock_layout::{
    Composite, CompositeKind, Digest, Disposition as D, IntKind, Layout, Lock, MapDef, Member, Observation, ProgramUse,
    Shape, epochs,
};

use super::{Action, Carry, Inputs, MapPlan, PinnedLock, Plan, Since, plan};
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
    Lock { maps: maps.into_iter().map(|def| (def.name.clone(), LockedMap::new(def))).collect(), ..Lock::default() }
}

/// What the kernel would tell of a map that was made so, with BTF.
fn pinned(def: &MapDef, id: u32, entries: u64) -> Observed {
    let def = MapDef { pinning: Pinning::None, ..def.clone() };
    Observed {
        pin: def.name.clone(),
        path: Path::new("/bpf/mesh").join(&def.name),
        id,
        source: Source::Btf,
        tells_version: false,
        frozen: false,
        entries: Some(entries),
        memory: 0,
        problem: None,
        is_denied: false,
        said: None,
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
    ways_back: BTreeSet<String>,
    newer: PinnedLock,
}

impl Case {
    /// One map pinned, one asked for.
    fn one(old: &MapDef, new: &MapDef) -> Self {
        Self { lock: lock([new.clone()]), live: vec![pinned(old, 7, 12)], ..Self::default() }
    }

    /// The same, if somebody accepted the change.
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

    /// The same, if both releases say what their programs do, and nobody in user space deletes.
    fn known(mut self, old: &ProgramUse, new: &ProgramUse) -> Self {
        for map in self.lock.maps.values_mut() {
            (map.programs, map.user_never_deletes) = (Some(new.clone()), true);
        }
        let mut meta = Meta::default();
        for live in &self.live {
            let max_entries = live.def.max_entries;
            meta.maps.insert(live.pin.clone(), MetaMap { id: live.id, max_entries });
            meta.programs.insert(live.pin.clone(), old.clone());
        }
        self.meta = Some(meta);
        self
    }

    fn plan(&self) -> Plan {
        plan(&Inputs {
            spec: &Spec::from(self.lock.clone()),
            dir: Path::new("/bpf/mesh"),
            live: &self.live,
            kept: &self.kept,
            meta: self.meta.as_ref(),
            newer: &self.newer,
            policies: &self.policies,
            ways_back: &self.ways_back,
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
