//! What can be answered to the breaks of a map, and what to type for that.

use std::borrow::Cow;
use std::collections::BTreeSet;

use maplock_layout::lock::OnUpgrade;
use maplock_layout::rules::{Compares, Tier};
use maplock_layout::{Comparison, Finding, Lock, Offer, Reading, Rename, Risk, answers};

/// What to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What it is for.
    pub purpose: Cow<'static, str>,
    /// The command.
    pub line: String,
    /// True if it settles a break, and does not only tell more of it.
    pub is_answer: bool,
}

/// One way to answer the breaks of a map: what is accepted, at once or after questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What it is for.
    pub purpose: Cow<'static, str>,
    /// The map that is accepted: if it has another name now, that one.
    pub map: String,
    /// The old name of a map that goes on under another one.
    pub renamed_from: Option<String>,
    /// What a node does with the entries. `None` if nothing but the name of the map changed.
    pub on_upgrade: Option<OnUpgrade>,
    /// True if code of the daemon converts the entries.
    pub by_hand: bool,
}

impl Way {
    /// What to type. `more` follows the answers, such as ` --lock FILE`.
    #[must_use]
    pub fn command(&self, more: &str) -> Command {
        let renamed = self.renamed_from.as_ref().map(|old| format!(" --renamed-from {}", shell_word(old)));
        let answer = self.on_upgrade.map(|answer| format!(" --on-upgrade {answer}"));
        let by_hand = if self.by_hand { " --by-hand" } else { "" };
        let options = renamed.into_iter().chain(answer).collect::<String>();
        let line = format!("cargo maplock accept {}{options}{by_hand} --reason \"…\"{more}", shell_word(&self.map));
        Command { purpose: self.purpose.clone(), line, is_answer: true }
    }
}

/// What can be answered to the breaks of `map`, of the comparison of `old` and `new`.
#[must_use]
pub fn ways(comparison: &Comparison, (old, new): (&Lock, &Lock), map: &str) -> Vec<Way> {
    let breaks = breaks(comparison, map);
    if breaks.is_empty() || breaks.iter().any(|finding| finding.answers().is_empty()) {
        return Vec::new();
    }
    let gone = comparison.renames.iter().filter(|rename| rename.old == map);
    let renamed = gone.flat_map(|rename| renamed(rename, (old, new)));
    let offer = comparison.verdict(map).and_then(|of| Offer::of(old, new, of));
    renamed.chain(of_map(comparison, offer, map, &breaks)).collect()
}

/// What to type next about the breaks of `map`, of the comparison of `old` and `new`. `more` follows the answers, such as ` --lock FILE`.
#[must_use]
pub fn commands(comparison: &Comparison, sides: (&Lock, &Lock), map: &str, more: &str) -> Vec<Command> {
    let ways = ways(comparison, sides, map);
    if ways.is_empty() {
        return Vec::new();
    }
    let causes = breaks(comparison, map).into_iter().filter(|finding| finding.consequence_of.is_none());
    let rules: BTreeSet<_> = causes.map(|finding| finding.rule.id).collect();
    let explain = rules.into_iter().map(|rule| {
        let line = format!("cargo maplock explain {rule}");
        Command { purpose: "more".into(), line, is_answer: false }
    });
    ways.iter().map(|way| way.command(more)).chain(explain).collect()
}

/// The breaks of `map` to which something can be answered.
fn breaks<'a>(comparison: &'a Comparison, map: &'a str) -> Vec<&'a Finding> {
    let is_asked = |finding: &&Finding| !matches!(finding.rule.effect.compares, Compares::History | Compares::Programs);
    comparison.of_map(map).filter(|finding| finding.is_break()).filter(is_asked).collect()
}

/// What can be answered to what was found of `map`. `offer` tells how its entries can be converted, where both sides have it.
fn of_map(comparison: &Comparison, offer: Option<Offer>, map: &str, asks: &[&Finding]) -> Vec<Way> {
    let answers = answers(&comparison.of_map(map).collect::<Vec<_>>());
    let takes = |answer| answers.contains(&answer) && why_not(comparison, map, answer).is_none();
    let verdict = comparison.verdict(map);
    // Where bytes differ and nothing is read as what it was not, the old ones are right, or are so on conditions.
    let readings = verdict.and_then(|verdict| verdict.readings.as_deref());
    let is_right = readings.is_some_and(|all| all.iter().all(|reading| reading.risk != Risk::Misread));
    let stays = |finding: &&Finding| finding.keeps_bytes() || is_right && finding.rule.tier == Tier::Bytes;
    let all_bytes_stay = readings.is_none_or(|_| is_right) && asks.iter().all(stays);
    let right = match readings.and_then(Reading::condition) {
        Some(condition) => Cow::Owned(format!("if {condition}")),
        None => "old bytes are right".into(),
    };
    let migrates = takes(OnUpgrade::Migrate) && !matches!(offer, Some(Offer::No(_)));
    let by_hand = matches!(offer, Some(Offer::ByHand(_)));
    let give_up = if migrates { "start empty" } else { "give them up" };
    let ways = [
        (OnUpgrade::Reuse, right, all_bytes_stay && takes(OnUpgrade::Reuse)),
        (OnUpgrade::Migrate, "keep the entries".into(), migrates),
        (OnUpgrade::Swap, give_up.into(), takes(OnUpgrade::Swap)),
        (OnUpgrade::Drop, "give its entries up".into(), takes(OnUpgrade::Drop)),
    ];
    let ways = ways.into_iter().filter(|(.., fits)| *fits).map(|(answer, purpose, _)| Way {
        purpose,
        map: map.to_owned(),
        renamed_from: None,
        on_upgrade: Some(answer),
        by_hand: by_hand && answer == OnUpgrade::Migrate,
    });
    ways.collect()
}

/// What can be answered where a map that is gone is a new one under another name, and goes on with its entries.
fn renamed(rename: &Rename, (before, now): (&Lock, &Lock)) -> Vec<Way> {
    let Rename { old, new, comparison } = rename;
    let goes_on = |way: Way| Way { purpose: "renamed? it goes on".into(), renamed_from: Some(old.clone()), ..way };
    let asks: Vec<_> = comparison.of_map(new).filter(|found| found.is_break() || found.needs_decision()).collect();
    if asks.is_empty() {
        let way = Way { purpose: "".into(), map: new.clone(), renamed_from: None, on_upgrade: None, by_hand: false };
        return vec![goes_on(way)];
    }
    let defs = before.maps.get(old).zip(now.maps.get(new));
    let offer = defs.map(|(old, new)| Offer::between(&old.def, &new.def));
    // Who starts empty has no use for the old name.
    let keeps = |way: &Way| way.on_upgrade.is_some_and(OnUpgrade::keeps_entries);
    of_map(comparison, offer, new, &asks).into_iter().filter(keeps).map(goes_on).collect()
}

/// Why no node could do this with the entries of `map`.
pub(crate) fn why_not<'a>(comparison: &'a Comparison, map: &str, way: OnUpgrade) -> Option<&'a str> {
    let verdict = comparison.verdict(map)?;
    verdict.cannot.iter().find(|(cannot, _)| *cannot == way).map(|(_, because)| because.as_str())
}

/// A map's name as a shell takes it.
pub(crate) fn shell_word(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/'));
    if plain { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}
