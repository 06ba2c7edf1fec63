//! What a node does that still has the definition which an epoch leaves.

use maplock_layout::config::Levels;
use maplock_layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock_layout::map_type::Fate;
use maplock_layout::{Disposition, Lock, Verdict, compare};

/// What comes of the epoch alone, if the lock that has it still has the map.
pub(crate) fn verdict(map: &str, epoch: &Epoch, lock: &Lock) -> Option<Verdict> {
    let now = lock.maps.get(map)?;
    let one = |map: LockedMap| Lock { maps: [(map.def.name.clone(), map)].into(), ..Lock::default() };
    let before = one(LockedMap::new(epoch.previous.clone()));
    let verdicts = compare(&before, &one(now.clone()), &Levels::default()).maps;
    verdicts.into_iter().find(|verdict| verdict.map == map)
}

/// In words.
pub(crate) fn words(epoch: &Epoch, verdict: Option<&Verdict>) -> String {
    let disposition = verdict.map(|verdict| verdict.disposition);
    let copies = epoch.from == epoch.to;
    let does = match epoch.on_upgrade {
        OnUpgrade::Reuse if disposition == Some(Disposition::Grow) => {
            "puts a larger map in its place, with every entry".to_owned()
        }
        OnUpgrade::Reuse => match verdict.map(|verdict| &verdict.fate) {
            Some(Fate::KeepSize(_)) => {
                "keeps the map, its entries and its capacity, on which new programs run".to_owned()
            }
            _ => "keeps the map and its entries as they are".to_owned(),
        },
        OnUpgrade::Migrate if copies => {
            "copies every entry into a smaller map, and refuses if they do not fit".to_owned()
        }
        OnUpgrade::Migrate => "converts every entry to the new layout".to_owned(),
        OnUpgrade::Swap => match verdict.and_then(|verdict| verdict.fate.words()) {
            Some(words) if disposition == Some(Disposition::Swap) => format!("puts a new map in its place: {words}"),
            _ => "replaces the map with an empty one: the old entries are given up".to_owned(),
        },
        OnUpgrade::Drop => "removes the map: its entries are given up".to_owned(),
        OnUpgrade::Refuse => {
            return "the upgrade of a node that has the old map does not start: somebody must decide there".to_owned();
        }
    };
    let eviction = verdict.and_then(|verdict| verdict.eviction.as_ref());
    let eviction = eviction.map_or_else(String::new, |eviction| format!("; {eviction}"));
    let must_fit = verdict.and_then(|verdict| verdict.must_fit).filter(|_| !copies);
    let must_fit = must_fit.map_or_else(String::new, |must_fit| format!("; {must_fit}"));
    format!("a node that upgrades {does}{eviction}{must_fit}")
}
