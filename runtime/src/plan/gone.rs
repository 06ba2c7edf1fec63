//! What becomes of pins that are no map of the spec.

use maplock_layout::config::Levels;
use maplock_layout::lock::{Gone, LockedMap, OnUpgrade};
use maplock_layout::{Lock, MapDef, compare};

use super::names::Found;
use super::recognise::{lacks_layout, recognise};
use super::types::{Action, Inputs, Live, MapPlan};
use crate::generation::names::{self, pin_name};
use crate::inspect::Observed;
use crate::plan::policy::OnMismatch;

/// How a pin goes.
struct Going<'a> {
    name: &'a str,
    live: &'a Observed,
    /// True if nothing says that it is the daemon's.
    pin_stays: bool,
    /// True if the map goes on under another name.
    is_elsewhere: bool,
}

/// The pins that are no maps of the spec, but may be the daemon's.
pub(super) fn gone(inputs: &Inputs<'_>, found: &Found<'_>) -> Vec<MapPlan> {
    let left = inputs.live.iter().filter(|live| !found.has(&live.pin) && !names::is_own(&live.pin));
    left.filter_map(|live| of_pin(inputs, found, live)).collect()
}

fn of_pin(inputs: &Inputs<'_>, found: &Found<'_>, live: &Observed) -> Option<MapPlan> {
    let listed = inputs.meta.and_then(|meta| meta.maps.iter().find(|(name, _)| pin_name(name) == live.pin));
    if inputs.meta.is_some() && listed.is_none() {
        return None;
    }
    let name = listed.map_or(live.pin.as_str(), |(name, _)| name);
    let going = Going { name, live, pin_stays: false, is_elsewhere: false };
    if let Some(now) = found.name_of(live.id) {
        let why = format!("another name of the map that goes on as `{now}`");
        return Some(Going { is_elsewhere: true, ..going }.given_up(&why));
    }
    if found.is_lacked(&live.pin) {
        let action = Action::GoAlong { live: as_it_is(live) };
        let why = "this build lacks it, as it may; it stays pinned as it is".to_owned();
        return Some(MapPlan::new(name, None, action, why, Vec::new()));
    }
    let lock = inputs.spec.lock();
    // Whoever pinned it, a name of this generation goes with it.
    let somebody = listed.is_some_and(|(_, map)| map.id != live.id);
    let whose = if somebody { "; somebody else pinned this map under its name" } else { "" };
    if let Some((now, gone)) = found.gone(&live.pin).and_then(|now| Some((now, lock.gone.get(now)?)))
        && let Some(plan) = going.by_tombstone(inputs, (now, gone), (listed.is_some(), whose))
    {
        return Some(plan);
    }
    if listed.is_none() {
        // Nothing says which pins are the old release's: all that might be, or a map is lost without a word.
        let why = "not in this release, and nothing says whose it is; its pin stays, its entries are left behind";
        return Some(Going { pin_stays: true, ..going }.given_up(why));
    }
    let why = if lock.maps.contains_key(name) { "no longer pinned" } else { "not in this release" };
    Some(going.given_up(&format!("{why}{whose}; kept for roll-back")))
}

/// A live map, in the kernel's words.
fn as_it_is(live: &Observed) -> Live {
    let (id, pin, digest) = (live.id, live.path.clone(), live.digest());
    Live { id, pin, digest, def: live.def.clone(), entries: live.entries }
}

impl Going<'_> {
    /// As the lock says of a map that is gone. `None` if it speaks of another one, and nothing says that this is the daemon's.
    fn by_tombstone(
        &self,
        inputs: &Inputs<'_>,
        (now, gone): (&str, &Gone),
        (is_ours, whose): (bool, &str),
    ) -> Option<MapPlan> {
        let (last, before) = gone.epochs.split_last()?;
        let was = LockedMap { epochs: before.to_vec(), ..LockedMap::new(last.previous.clone()) };
        let known = recognise(inputs, self.live, &was, last.from);
        let policy = inputs.policies.of(now);
        let given_up = gone.given_up(known.digest).filter(|_| known.is_known);
        let (answer, why) = match given_up {
            Some(given_up) if given_up.answer == OnUpgrade::Drop => {
                let why = format!("given up (accepted: \"{}\"){whose}; kept for roll-back", given_up.reason);
                return Some(self.given_up(&why));
            }
            Some(given_up) => {
                let why =
                    format!("given up, on the way over a step that is accepted as `refuse` ({})", given_up.reason);
                (OnMismatch::Refuse, why)
            }
            None if !is_ours => return None,
            None if lacks_layout(&known.old, &was.def) => {
                (policy.unverifiable, "given up, but nothing tells whether this is that map: no layout".to_owned())
            }
            None => {
                let from = known.digest.short();
                (
                    policy.unknown,
                    format!("given up, but with another layout; no accepted change leads from layout {from}"),
                )
            }
        };
        Some(match answer {
            OnMismatch::Swap => self.given_up(&format!("{why} (policy: swap)")),
            OnMismatch::Refuse | OnMismatch::Reuse => {
                let plan = self.given_up(&why);
                let action = Action::Refuse { live: plan.action.live().cloned(), new: None };
                MapPlan { action, ..plan }
            }
        })
    }

    fn given_up(&self, why: &str) -> MapPlan {
        let Self { name, live, pin_stays, is_elsewhere } = *self;
        let loses_entries = live.def.map_type.is_state() && live.entries != Some(0) && !is_elsewhere;
        let locked = LockedMap::new(MapDef { name: name.to_owned(), ..live.def.clone() });
        let old = Lock { maps: [(name.to_owned(), locked)].into(), ..Lock::default() };
        let findings = compare(&old, &Lock::default(), &Levels::default()).findings;
        let action = Action::GiveUp { live: as_it_is(live), loses_entries, pin_stays };
        MapPlan::new(name, None, action, why.to_owned(), findings)
    }
}
