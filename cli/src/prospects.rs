//! What can be answered to a break that nobody has decided on, and what each answer does to the entries: the answer is accepted into a
//! lock that nobody writes, and that is compared as the accepted one will be.

use maplock_codegen::report::{self, Way};
use maplock_layout::config::Levels;
use maplock_layout::conversion::{Answers, Question};
use maplock_layout::epochs::{self, EpochError};
use maplock_layout::history::Converting;
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::rules::Level;
use maplock_layout::{Comparison, Lock, Loss, MapDef, Observation, Reading, Verdict, compare, listing};

use crate::outcome::{Outcome, count};
use crate::toll;

/// One answer.
pub(crate) struct Prospect {
    pub(crate) way: Way,
    /// What becomes of the entries: a phrase.
    pub(crate) entries: String,
    /// What has to be answered first.
    pub(crate) asks: Vec<Question>,
    /// What to type, where a command of this project records it.
    pub(crate) command: Option<String>,
}

/// Of an answer that nobody gave.
const REASON: &str = "not accepted";

/// Most members that are named as asked about.
const MOST_ASKED: usize = 3;

impl Outcome {
    /// What can be answered to the breaks of a map.
    pub(crate) fn prospects(&self, verdict: &Verdict) -> Vec<Prospect> {
        let ways = report::ways(&self.comparison, (&self.old.lock, &self.new.lock), &verdict.map);
        let prospect = |way: Way| {
            let (entries, asks) = self.foreseen(verdict, &way)?;
            let command = self.accept.as_ref().map(|more| way.command(more).line);
            Some(Prospect { way, entries, asks, command })
        };
        ways.into_iter().filter_map(prospect).collect()
    }

    /// The same in a line; `None` where nothing waits for an answer, or none settles it.
    pub(crate) fn way_out(&self, verdict: &Verdict) -> Option<String> {
        let prospects = self.prospects(verdict);
        let (renamed, accepted): (Vec<_>, Vec<_>) = prospects.iter().partition(|of| of.way.renamed_from.is_some());
        let renamed = renamed.into_iter().map(|of| {
            let answer = of.way.on_upgrade.map_or_else(String::new, |answer| format!(", by `{answer}`"));
            format!("as `{}`{answer}{}", of.way.map, of.effect())
        });
        let accepted = accepted.into_iter().map(|of| {
            let answer = of.way.on_upgrade.map_or("reuse", OnUpgrade::name);
            format!("as `{answer}`{}", of.effect())
        });
        let ways = [("go on", listed(renamed.collect())), ("be accepted", listed(accepted.collect()))];
        let told: Vec<_> = ways.into_iter().filter_map(|(verb, ways)| Some(format!("{verb} {}", ways?))).collect();
        (!told.is_empty()).then(|| format!("can {}", told.join(", or ")))
    }

    /// What becomes of the entries by an answer, and what is asked first. `None` where it is not taken.
    fn foreseen(&self, verdict: &Verdict, way: &Way) -> Option<(String, Vec<Question>)> {
        let pinned = |lock: &Lock, name: &str| {
            let map = lock.maps.get(name).filter(|map| !map.ephemeral)?;
            Some(LockedMap { epochs: Vec::new(), ..map.clone() })
        };
        let released = pinned(&self.old.lock, verdict.was.as_ref().unwrap_or(&verdict.map))?;
        // Under another name it is found already, where the lock says so.
        let name = if way.renamed_from.is_some() { &released.def.name } else { &way.map };
        let known = LockedMap { def: MapDef { name: name.clone(), ..released.def.clone() }, ..released };
        let known = alone(known);
        let now = pinned(&self.new.lock, &way.map).map(alone).unwrap_or_default();
        let observed = Observation { lock: now, ..Observation::default() };
        let levels = self.levels_of(verdict);
        let accepted = match (&way.renamed_from, way.on_upgrade) {
            (Some(old), answer) => epochs::rename(&known, &observed, (old, &way.map), answer, REASON, &levels),
            (None, answer) => epochs::accept(&known, &observed, &way.map, answer?, REASON, &levels),
        };
        let mut accepted = accepted.ok()?;
        if accepted.maps.contains_key(&way.map) {
            let by_hand = way.by_hand.then(|| Answers { by_hand: true, ..Answers::default() });
            accepted = match epochs::convert(&accepted, &way.map, by_hand.as_ref()) {
                Ok(accepted) => accepted,
                Err(EpochError::Unanswered { problems, .. }) => {
                    return Some((after_answers(&problems.questions), problems.questions));
                }
                Err(_) => return None,
            };
        }
        let comparison = compare(&known, &accepted, &levels);
        entries(&comparison, &accepted, way).map(|entries| (entries, Vec::new()))
    }

    /// The levels that made breaks of what was found of a map.
    fn levels_of(&self, verdict: &Verdict) -> Levels {
        let mut levels = Levels::default();
        let renames = self.comparison.renames.iter().filter(|rename| rename.old == verdict.map);
        let found = renames.flat_map(|rename| &rename.comparison.findings).chain(self.comparison.of_map(&verdict.map));
        found.filter(|finding| finding.level == Level::Deny).for_each(|finding| levels.set(finding.rule, Level::Deny));
        levels
    }
}

impl Prospect {
    fn effect(&self) -> String {
        let by_hand = if self.way.by_hand { " by hand" } else { "" };
        format!("{by_hand} ({})", self.entries)
    }
}

/// `a, b or c`
fn listed(ways: Vec<String>) -> Option<String> {
    let (last, rest) = ways.split_last()?;
    Some(if rest.is_empty() { last.clone() } else { format!("{} or {last}", rest.join(", ")) })
}

fn alone(map: LockedMap) -> Lock {
    Lock { maps: [(map.def.name.clone(), map)].into(), ..Lock::default() }
}

/// What becomes of the entries, once that is accepted.
fn entries(comparison: &Comparison, accepted: &Lock, way: &Way) -> Option<String> {
    let verdict = comparison.verdict(&way.map)?;
    let map = accepted.maps.get(&way.map);
    let steps = map.zip(verdict.from).map(|(map, from)| Converting::on_way(map, from)).unwrap_or_default();
    let loss = Loss::of(&steps);
    let of_arms = toll::condition(&loss).map(str::to_owned);
    let unfit = loss.unfit(None).map(|unfit| format!("refused on a node with {unfit}"));
    let parts = if loss.by_hand { Vec::new() } else { loss.words(&way.map) };
    let told = toll::becomes(verdict, || loss).or_else(|| verdict.fate.words())?;
    let stays = way.on_upgrade == Some(OnUpgrade::Reuse) || way.on_upgrade.is_none();
    let readings: Vec<_> = verdict.misread().cloned().collect();
    let condition = Reading::condition(&readings).filter(|_| stays).map(|condition| format!("right if {condition}"));
    let keeps = verdict.fate.words().filter(|words| *words != told).map(str::to_owned);
    let must_fit = verdict.must_fit.map(|must_fit| must_fit.to_string());
    let must_fit = must_fit.into_iter().chain(unfit).chain(of_arms);
    let evicts = verdict.eviction.clone().filter(|words| *words != told);
    let more = parts.into_iter().chain(evicts).chain(must_fit).chain(condition).chain(keeps);
    Some(std::iter::once(told.to_owned()).chain(more).collect::<Vec<_>>().join("; "))
}

/// What becomes of entries that are converted once these are answered.
fn after_answers(questions: &[Question]) -> String {
    let mut names: Vec<_> = questions
        .iter()
        .map(|question| question.path.strip_prefix("value.").unwrap_or(&question.path))
        .map(|path| format!("`{path}`"))
        .collect();
    names.dedup();
    let about = listing::first(names, MOST_ASKED, "member");
    let answers = if questions.len() == 1 { "an answer".to_owned() } else { count(questions.len(), "answer") };
    format!("its entries are converted, after {answers} about {about}")
}
