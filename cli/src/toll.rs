//! What an upgrade does to entries, in words: of each map, and of all of them in one line.

use maplock_layout::map_type::Fate;
use maplock_layout::{Disposition, Loss, Risk, Verdict};

use crate::outcome::{Outcome, count};

/// Most maps that are named in one line; more are counted.
const MOST_NAMED: usize = 3;

/// Most that is said in one line of parts of entries; more is counted.
const MOST_PARTS: usize = 4;

/// On which condition converted entries are right whose union got another arm: their bytes stay what they are.
pub(crate) fn condition(loss: &Loss) -> Option<&'static str> {
    (!loss.new_arms.is_empty()).then_some("right if no program reads a new arm of the union from an old entry")
}

/// Of each kind of maps how many there are, and what they are: in the singular and in the plural. `None` if there are none.
fn counted(kinds: &[(usize, &str, &str)]) -> Option<String> {
    let told = kinds.iter().filter(|(maps, ..)| *maps > 0).enumerate().map(|(at, (maps, is, are))| {
        let subject = if at == 0 { count(*maps, "map") } else { maps.to_string() };
        format!("{subject} {}", if *maps == 1 { is } else { are })
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}

impl Outcome {
    /// What an upgrade without breaks gives up.
    pub(crate) fn what_is_lost(&self) -> String {
        let maps = || self.comparison.maps.iter();
        let named = |wanted: &dyn Fn(&Verdict) -> bool| -> Vec<String> {
            maps().filter(|verdict| wanted(verdict)).map(|verdict| format!("`{}`", verdict.map)).collect()
        };
        let lost = named(&Verdict::loses_entries);
        let misread = named(&|verdict| verdict.misread().any(|reading| reading.risk == Risk::Misread));
        let evicting = named(&|verdict| verdict.eviction.is_some());
        let on_condition = |risk: Risk| named(&|verdict| verdict.misread().any(|reading| reading.risk == risk));
        let is_carried = |verdict: &&Verdict| matches!(verdict.disposition, Disposition::Migrate | Disposition::Grow);
        let losses: Vec<_> =
            maps().filter(is_carried).map(|verdict| (verdict, Loss::of(&self.steps(verdict)))).collect();
        let mut refused: Vec<_> = maps().filter_map(|verdict| Some(verdict.must_fit?.refusal(&verdict.map))).collect();
        refused.extend(losses.iter().filter_map(|(verdict, loss)| {
            Some(format!("a node with {} refuses the upgrade", loss.unfit(Some(&verdict.map))?))
        }));
        let [padding, mut arms, names] = [Risk::Padding, Risk::Arm, Risk::OtherName].map(on_condition);
        let converted = losses.iter().filter(|(_, loss)| !loss.new_arms.is_empty());
        arms.extend(converted.map(|(verdict, _)| format!("`{}`", verdict.map)));
        let (mut parts, mut in_parts, mut counting) = (Vec::new(), 0, 0);
        for (verdict, loss) in &losses {
            let (told, counts) = (parts_lost(verdict, loss), self.counts_lost(verdict));
            in_parts += usize::from(!told.is_empty());
            counting += usize::from(counts.is_some());
            parts.extend(told.into_iter().chain(counts));
        }
        let told: usize = [&lost, &misread, &evicting, &padding, &arms, &names].map(Vec::len).iter().sum();
        let told = told + refused.len();
        if told + in_parts + counting > MOST_NAMED || parts.len() > MOST_PARTS {
            let accepted = [(lost.len(), "is given up", "are given up"), (misread.len(), "is misread", "are misread")];
            let others = [
                (in_parts, "may lose parts of its entries", "may lose parts of their entries"),
                (
                    counting,
                    "may lose what old programs count during the switch",
                    "may lose what old programs count during the switch",
                ),
                (evicting.len(), "may lose entries to the kernel", "may lose entries to the kernel"),
                (
                    refused.len(),
                    "makes a node refuse the upgrade if its entries do not fit",
                    "make a node refuse the upgrade if their entries do not fit",
                ),
                (padding.len(), "is right if its padding was 0", "are right if their padding was 0"),
                (
                    arms.len(),
                    "is right if no program reads a new arm from an old entry",
                    "are right if no program reads a new arm from an old entry",
                ),
                (
                    names.len(),
                    "is right if its renamed members mean what they meant",
                    "are right if their renamed members mean what they meant",
                ),
            ];
            let told = [counted(&accepted).map(|told| format!("{told}, as was accepted")), counted(&others)];
            return told.into_iter().flatten().collect::<Vec<_>>().join("; ");
        }
        let mut told = Vec::new();
        if !misread.is_empty() {
            told.push(format!("entries of {} are misread, as was accepted", misread.join(", ")));
        }
        if !lost.is_empty() {
            parts.insert(0, format!("entries of {} are given up", lost.join(", ")));
        }
        if !parts.is_empty() {
            told.push(parts.join(", "));
            if misread.is_empty() && [&padding, &arms, &names].iter().all(|maps| maps.is_empty()) {
                told.push("no pinned state is misread".to_owned());
            }
        }
        if !evicting.is_empty() {
            told.push(format!("the kernel may evict entries of {}", evicting.join(", ")));
        }
        let conditions = [
            (padding, "their padding was 0"),
            (arms, "no program reads the new arm of the union from an old entry"),
            (names, "the renamed members mean what they meant"),
        ];
        let is_whole = told.is_empty();
        for (maps, condition) in conditions.into_iter().filter(|(maps, _)| !maps.is_empty()) {
            told.push(format!("entries of {} are read right only if {condition}", maps.join(", ")));
        }
        told.extend(refused);
        if is_whole {
            told.push("no pinned state is lost".to_owned());
        }
        told.join("; ")
    }

    /// What programs of both releases count at the same time, if nothing adds it up: a phrase.
    fn counts_lost(&self, verdict: &Verdict) -> Option<String> {
        let map = self.new.lock.maps.get(&verdict.map)?;
        let is_open = map.unmerged_counters().iter().any(|path| !verdict.merge.contains_key(*path));
        is_open.then(|| format!("what old programs count in `{}` during the switch may be lost", verdict.map))
    }

    /// What becomes of a map's entries: a phrase. `None` if there are none, nobody has decided, or only the reason tells.
    pub(crate) fn becomes(&self, verdict: &Verdict) -> Option<String> {
        let loss = Loss::of(&self.steps(verdict));
        let refused = verdict.must_fit.map(|must_fit| format!("; {must_fit}")).unwrap_or_default();
        let unfit = loss.unfit(None).map(|unfit| format!("; refused on a node with {unfit}")).unwrap_or_default();
        let condition = condition(&loss).map(|condition| format!("; {condition}")).unwrap_or_default();
        let becomes = becomes(verdict, || loss)?;
        Some(format!("{becomes}{refused}{unfit}{condition}"))
    }

    /// The disposition of a map, with what comes of it if an answer decided that, if entries are lost, or if nothing happens.
    pub(crate) fn what(&self, verdict: &Verdict) -> (Disposition, Option<String>) {
        if verdict.disposition == Disposition::Refuse {
            return (Disposition::Refuse, Some("the upgrade does not start".to_owned()));
        }
        let is_decided = self.accepted(verdict).is_some() || verdict.loses_entries();
        (verdict.disposition, self.becomes(verdict).filter(|_| is_decided))
    }
}

/// What a conversion loses of the entries, a phrase each.
fn parts_lost(verdict: &Verdict, loss: &Loss) -> Vec<String> {
    let mut told = loss.words(&verdict.map);
    told.extend(loss.may_meet.then(|| format!("entries of `{}` whose keys become one are put together", verdict.map)));
    told
}

/// What becomes of the entries of a map, of which a conversion loses so much, if they fit: a phrase, likewise.
pub(crate) fn becomes(verdict: &Verdict, loss: impl FnOnce() -> Loss) -> Option<&'static str> {
    const EVICTED: &str = "its entries are carried over, and the kernel may evict some";
    let is_misread = || verdict.misread().any(|reading| reading.risk == Risk::Misread);
    let evicts = verdict.eviction.is_some();
    let told = match verdict.disposition {
        Disposition::Create | Disposition::Refuse => return None,
        Disposition::Swap | Disposition::Drop if verdict.loses_entries() => "its entries are given up",
        Disposition::Swap | Disposition::Drop => return None,
        Disposition::Reuse if is_misread() => "its entries stay, and are misread",
        Disposition::Reuse => "its entries stay",
        Disposition::Grow if evicts => EVICTED,
        Disposition::Grow => "every entry is copied",
        Disposition::Migrate if verdict.fate == Fate::Carried && evicts => EVICTED,
        Disposition::Migrate if verdict.fate == Fate::Carried => "every entry is copied",
        Disposition::Migrate => {
            let loss = loss();
            match (loss.by_hand, loss.may_meet, loss.is_nothing()) {
                (true, ..) => "the daemon's code converts its entries",
                (_, true, _) => "its entries are converted, and those whose keys become one are put together",
                (_, _, false) => "its entries are converted, and may lose parts",
                (_, _, true) if evicts => EVICTED,
                (_, _, true) => "every entry is converted",
            }
        }
    };
    Some(told)
}
