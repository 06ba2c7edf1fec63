//! What an upgrade does to the maps of one node, and of all that have the same pinned.

use std::collections::BTreeSet;

use maplock_layout::config::Levels;
use maplock_layout::identity::Identities;
use maplock_layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock_layout::map::pin_name;
use maplock_layout::map_type::{BPF_F_NO_COMMON_LRU, Capacity, Fate, MapType, fate};
use maplock_layout::rules::Attribute;
use maplock_layout::{
    Comparison, CompositeKind, Digest, Disposition, Finding, Lock, MapDef, Untold, Verdict, compare, said_version,
};

use crate::fleet::{Pinned, PinnedMap};
use crate::outcome::demand_decisions;
use crate::verbs::matrix::Cell;

/// What becomes of a map, but for what the number of its entries decides.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) map: String,
    pub(super) pin: Option<String>,
    pub(super) layout: Option<String>,
    cell: Cell,
    fails: bool,
    pub(super) accepted: Option<OnUpgrade>,
    /// The capacity into which entries are copied, if that is a smaller one.
    room: Option<u32>,
}

impl Met {
    /// What becomes of it if there are so many entries; `None` within if they are not counted.
    pub(super) fn with(&self, live: Option<Option<u64>>) -> (Cell, bool) {
        let cell = self.cell.clone();
        match (live, self.cell.what, self.room) {
            (Some(Some(0)), Disposition::Swap | Disposition::Drop, _) => (Cell { loses: false, ..cell }, false),
            (Some(Some(entries)), Disposition::Migrate, Some(room)) if entries > u64::from(room) => {
                let why = format!("{entries} entries do not fit into {room}");
                (Cell { what: Disposition::Refuse, loses: true, why, ..cell }, true)
            }
            (Some(None), Disposition::Migrate, Some(_)) => {
                let why = format!("{}; whether the entries fit is not known", cell.why);
                (Cell { loses: true, why, ..cell }, self.fails)
            }
            _ => (cell, self.fails),
        }
    }
}

/// What is the same on nodes to which the same happens.
pub(super) fn key(pinned: &Pinned) -> String {
    let maps = pinned.maps.iter().map(|map| {
        (&map.pin, &map.digest, &map.locked_digest, map.max_entries, &map.map_type, &map.layout_from, &map.problem)
    });
    let missing: Vec<_> = pinned.missing.iter().map(|missing| &missing.map).collect();
    let foreign: Vec<_> = pinned.foreign.iter().map(|foreign| &foreign.pin).collect();
    let maps: Vec<_> = maps.collect();
    format!("{:?}", (pinned.generation.is_some(), pinned.is_changing(), maps, missing, foreign))
}

/// True if this is what is pinned.
pub(super) fn is(def: &MapDef, map: &PinnedMap) -> bool {
    has_digest(def, map) || is_locked_as(def, map)
}

fn is_digest(digest: Digest, text: &str) -> bool {
    Digest::parse(text) == Some(digest)
}

/// True if it has the digest of what the kernel tells.
fn has_digest(def: &MapDef, map: &PinnedMap) -> bool {
    // The kernel keeps no types of handles and indexes.
    let bare = || MapDef { key: def.key.clone().filter(|_| def.key_has_layout()), value: None, ..def.clone() };
    is_digest(def.digest(), &map.digest) || !def.value_has_layout() && is_digest(bare().digest(), &map.digest)
}

/// True if its generation says so.
fn is_locked_as(def: &MapDef, map: &PinnedMap) -> bool {
    map.locked_digest.as_deref().is_some_and(|locked| is_digest(def.digest(), locked))
}

/// True if it may be this, though its digest is another: a node looks at more than the document tells.
pub(super) fn is_open(def: &MapDef, map: &PinnedMap) -> bool {
    if map.locked_digest.is_some() {
        return false;
    }
    let is_section = |of: &maplock_layout::Composite| of.kind() == CompositeKind::Section;
    map.problem.is_some()
        || Digest::parse(&map.digest).is_none()
        || !def.value_has_layout()
        || def.inner.is_some()
        || said_version(def).is_some()
        || def.value.as_deref().and_then(|value| value.composite()).is_some_and(is_section)
}

/// What is known of a map that is pinned: what it was, newest first.
struct Known<'a> {
    defs: Vec<&'a MapDef>,
    /// If it is not gone.
    today: Option<&'a LockedMap>,
}

impl<'a> Known<'a> {
    fn of(lock: &'a Lock, name: &str) -> Self {
        let today = lock.maps.get(name);
        let epochs = today.map(|map| &map.epochs).or_else(|| lock.gone.get(name).map(|gone| &gone.epochs));
        let past = epochs.into_iter().flatten().rev().map(|epoch: &Epoch| &epoch.previous);
        Self { defs: today.map(|map| &map.def).into_iter().chain(past).collect(), today }
    }

    /// The one that is pinned. What the kernel tells comes first, as it does on the node.
    fn recognise(&self, map: &PinnedMap) -> Option<&'a MapDef> {
        let find = |is: fn(&MapDef, &PinnedMap) -> bool| self.defs.iter().find(|def| is(def, map)).copied();
        find(has_digest).or_else(|| find(is_locked_as))
    }
}

/// What becomes of each map; else what the document leaves open, in a phrase.
pub(super) fn met(lock: &Lock, pinned: &Pinned) -> Result<Vec<Met>, String> {
    if pinned.is_changing() {
        return Err("an upgrade did not end there, and the next one first completes it".to_owned());
    }
    let live = |name: &str| {
        let pin = pin_name(name);
        pinned.maps.iter().find(|map| map.pin == pin)
    };
    let identities = Identities::find(lock, |name| live(name).is_some());
    let (mut old, mut all, mut taken) = (Lock::default(), Vec::new(), BTreeSet::new());
    // Those of which the comparison says nothing.
    let mut strange = BTreeSet::new();
    for name in lock.maps.keys().chain(lock.gone.keys()) {
        let Some((before, map)) = identities.before(name).and_then(|before| Some((before, live(before)?))) else {
            continue;
        };
        taken.insert(map.pin.as_str());
        let known = Known::of(lock, name);
        let Some(newest) = known.defs.first() else { continue };
        let def = match known.recognise(map) {
            Some(def) => MapDef { max_entries: capacity(map, def, known.today), ..def.clone() },
            None => {
                strange.insert(before);
                all.push(unknown(name, &known, newest, map, pinned.generation.is_some())?);
                (*newest).clone()
            }
        };
        old.maps.insert(before.to_owned(), LockedMap::new(MapDef { name: before.to_owned(), ..def }));
    }
    one_name_each(lock, pinned, (&identities, &taken))?;
    let mut comparison = compare(&old, lock, &Levels::default());
    demand_decisions(&mut comparison);
    for verdict in
        comparison.maps.iter().filter(|verdict| !verdict.was.as_deref().is_some_and(|was| strange.contains(was)))
    {
        let map = verdict.was.as_deref().and_then(live);
        all.push(by_verdict(lock, &comparison, verdict, map));
    }
    all.extend(pinned.maps.iter().filter(|map| !taken.contains(map.pin.as_str())).filter_map(|map| left(pinned, map)));
    Ok(all)
}

/// What of pins is no name of one map each: a node looks for more than the document tells.
fn one_name_each(
    lock: &Lock,
    pinned: &Pinned,
    (identities, taken): (&Identities<'_>, &BTreeSet<&str>),
) -> Result<(), String> {
    for (name, map) in lock.maps.iter().filter(|(_, map)| !map.ephemeral) {
        let is_name = |of: &String| of == name || map.renamed_from.contains(of);
        match identities.before(name) {
            None => {
                if let Some(missing) = pinned.missing.iter().find(|missing| is_name(&missing.map)) {
                    return Err(format!("somebody removed the pin of `{}`", missing.map));
                }
            }
            Some(before) => {
                let mut others = map.renamed_from.iter().map(|older| pin_name(older));
                let is_free = |pin: &String| !taken.contains(pin.as_str());
                let is_there = |pin: &String| pinned.maps.iter().any(|map| map.pin == *pin);
                if let Some(other) = others.find(|pin| is_free(pin) && is_there(pin)) {
                    return Err(format!("`{before}` and `{other}` are both pinned, and are names of one map"));
                }
            }
        }
    }
    Ok(())
}

/// By the verdict of the comparison.
fn by_verdict(lock: &Lock, comparison: &Comparison, verdict: &Verdict, map: Option<&PinnedMap>) -> Met {
    let mut cell = Cell::of(comparison, verdict, lock);
    let accepted = comparison.of_map(&verdict.map).filter_map(|finding| finding.accepted).max();
    let breaks: Vec<&Finding> = comparison.of_map(&verdict.map).filter(|finding| finding.is_break()).collect();
    let is_of_capacity = |finding: &&Finding| finding.rule.effect.attribute == Some(Attribute::MaxEntries);
    let today = lock.maps.get(&verdict.map).map(|map| &map.def);
    let fails = !breaks.is_empty() && (cell.what == Disposition::Refuse || cell.loses);
    // A map with more room than the lock asks for is used as it is.
    if cell.what == Disposition::Reuse && !breaks.is_empty() && breaks.iter().all(is_of_capacity) {
        let room = map.map_or(0, |map| map.max_entries);
        cell.why = format!("max_entries stays at {room}");
    }
    match verdict.reason.as_ref().filter(|_| accepted.is_some()) {
        Some(reason) => cell.why.push_str(&format!(" (accepted: \"{reason}\")")),
        None if fails => cell.why.push_str("; not accepted"),
        None if cell.what == Disposition::Reuse && cell.why.is_empty() => {
            Untold::same(verdict.untold).clone_into(&mut cell.why);
        }
        None => {}
    }
    let is_array = today.is_some_and(|today| today.map_type.is_array());
    let room = today
        .map(|today| today.max_entries)
        .filter(|room| *room > 0 && !is_array && map.is_some_and(|map| *room < map.max_entries));
    Met {
        map: verdict.map.clone(),
        pin: map.map(|map| map.pin.clone()),
        layout: verdict.from.filter(|_| map.is_some()).map(|digest| digest.to_string()),
        cell,
        fails,
        accepted,
        room,
    }
}

/// Of a map of which the lock does not know the layout that is pinned.
fn unknown(name: &str, known: &Known<'_>, newest: &MapDef, map: &PinnedMap, is_ours: bool) -> Result<Met, String> {
    let of = |what, loses, why: String| Met {
        map: name.to_owned(),
        pin: Some(map.pin.clone()),
        layout: Some(map.digest.clone()),
        cell: Cell { what, loses, untold: false, must_fit: None, is_bounded: false, why },
        fails: loses,
        accepted: None,
        room: None,
    };
    let filled = fate(newest, newest, OnUpgrade::Swap);
    if filled == Fate::Refilled && MapType::from_name(&map.map_type) == Some(newest.map_type) && known.today.is_some() {
        return Ok(of(Disposition::Swap, false, filled.words().unwrap_or_default().to_owned()));
    }
    if Digest::parse(&map.digest).is_none() {
        return Err(format!("`{}` has no digest", map.pin));
    }
    let has_flags = known.today.is_some_and(|today| today.runtime_flags) && map.locked_digest.is_none();
    if has_flags || known.defs.iter().any(|def| is_open(def, map)) {
        let why = map.problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
        return Err(format!("its document does not tell which layout `{}` has{why}", map.pin));
    }
    if known.today.is_none() && !is_ours {
        let why = "given up, but not with this layout: its pin stays, its entries are left behind";
        return Ok(of(Disposition::Drop, true, why.to_owned()));
    }
    let short = map.digest.get(..8).unwrap_or(&map.digest);
    let why = match map.layout_from.as_str() {
        "attributes" => "its layout is unknown: it has no BTF, and no generation names it".to_owned(),
        _ => format!("the lock does not know this layout: no accepted change leads from {short}"),
    };
    Ok(of(Disposition::Refuse, true, why))
}

/// Of a pin that is no map of the lock, and none that it says is gone.
fn left(pinned: &Pinned, map: &PinnedMap) -> Option<Met> {
    let is_foreign = pinned.generation.is_some() && pinned.foreign.iter().any(|foreign| foreign.pin == map.pin);
    // What maplock itself pins has such names.
    if is_foreign || map.pin.contains('@') {
        return None;
    }
    let loses = MapType::from_name(&map.map_type).is_none_or(MapType::is_state);
    Some(Met {
        map: map.pin.clone(),
        pin: Some(map.pin.clone()),
        layout: Some(map.digest.clone()),
        cell: Cell {
            what: Disposition::Drop,
            loses,
            untold: false,
            must_fit: None,
            is_bounded: false,
            why: "not in the lock, and nothing says that it may go: its entries are left behind".to_owned(),
        },
        fails: loses,
        accepted: None,
        room: None,
    })
}

/// The capacity of what is pinned, as a lock would have it.
fn capacity(map: &PinnedMap, known: &MapDef, today: Option<&LockedMap>) -> u32 {
    let is_told = !known.lacks_capacity() && !today.is_some_and(|today| today.def.lacks_capacity());
    match known.map_type.row().capacity {
        _ if !is_told => known.max_entries,
        Capacity::Entries => map.max_entries,
        Capacity::EvenOverCpus if known.flags & BPF_F_NO_COMMON_LRU == 0 => map.max_entries,
        // The kernel or the loader rounds up.
        Capacity::EvenOverCpus | Capacity::Bytes | Capacity::Pages => map.max_entries.min(known.max_entries),
        Capacity::EachCpu | Capacity::UpToEachCpu | Capacity::Nothing => known.max_entries,
    }
}
