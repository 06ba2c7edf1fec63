//! Maps that two packages of a workspace lock differently: a node would do what the one says that it meets first.

use maplock_layout::disagreement;
use maplock_layout::lock::{Epoch, LockedMap};

use crate::error::Error;
use crate::outcome::{Ending, Outcome, merged};
use crate::project::Target;

/// An outcome for each map on which two of the locks disagree, unless one of them says that it is its own.
pub(crate) fn between(targets: &[Target]) -> Vec<Outcome> {
    let locks: Vec<_> = targets.iter().filter_map(|target| Some((target, target.read_lock().ok()?.1))).collect();
    let mut outcomes = Vec::new();
    for (at, (second, newer)) in locks.iter().enumerate() {
        for (first, older) in &locks[..at] {
            for (name, map) in &newer.maps {
                let is_own = |target: &Target| target.config.bindings.get(name).is_some_and(|map| map.own);
                let Some(other) = older.maps.get(name).filter(|_| !is_own(first) && !is_own(second)) else { continue };
                if other.ephemeral || map.ephemeral {
                    continue;
                }
                if let Some(cause) = difference((first, other), (second, map)) {
                    let what = format!("map `{name}` is locked differently in {}", first.shown_lock());
                    let error = Error::new(what)
                        .because(cause)
                        .help("if both mean one map, make them alike")
                        .help(format!("if it is the other package's: `owner` names its lock, under [package.metadata.maplock.maps.{name}]"))
                        .help("if they are two maps of one name: `owner = \"maps.lock\"` there says that each is its own");
                    outcomes.push(Outcome { undone: Some(error), ..Outcome::new(second, Ending::Disagrees) });
                }
            }
        }
    }
    outcomes
}

/// How the two differ: in what they define, or in what nodes are to do.
fn difference((first, older): (&Target, &LockedMap), (second, newer): (&Target, &LockedMap)) -> Option<String> {
    let names = [first.shown_lock(), second.shown_lock()];
    if let Some(finding) = disagreement(older, &names[0], newer, &names[1]) {
        return Some(finding.message());
    }
    if older.merge != newer.merge {
        let members = |map: &LockedMap| merged(&map.merge).unwrap_or_else(|| "no sum".to_owned());
        return Some(format!("{} in {}, {} in {}", members(older), names[0], members(newer), names[1]));
    }
    let says_otherwise = |one: &&Epoch, other: &&Epoch| {
        (one.from, one.to) == (other.from, other.to)
            && (one.on_upgrade != other.on_upgrade || one.convert != other.convert || one.merge != other.merge)
    };
    let pairs = older.epochs.iter().flat_map(|one| newer.epochs.iter().map(move |other| (one, other)));
    let (one, other) = pairs.into_iter().find(|(one, other)| says_otherwise(one, other))?;
    let step = format!("from {} to {}", one.from.short(), one.to.short());
    let answers = match one.on_upgrade == other.on_upgrade {
        true => format!("`{}` in both, with other answers", one.on_upgrade),
        false => format!("`{}` in {}, `{}` in {}", one.on_upgrade, names[0], other.on_upgrade, names[1]),
    };
    Some(format!("{step}: {answers}"))
}
