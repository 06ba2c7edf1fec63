//! What entries lose of themselves if every one of them is converted.

use std::collections::{BTreeMap, BTreeSet};

use crate::conversion::{Act, Bent, Cast, Collide, Derived, MemberPlan};
use crate::history::Converting;
use crate::listing;

/// What entries lose of themselves on their way. Members go by the names that answers and tables have for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    /// Members that are given up. Of an array that is shortened, `name[]`: its end.
    pub given_up: BTreeSet<String>,
    /// Members of which the old bytes can't be had back for certain: numbers that are cast or scaled, enumerators that become others.
    /// With what becomes of which, if all of it is known.
    pub inexact: BTreeMap<String, Vec<Bent>>,
    /// True if entries whose keys become one are put together.
    pub may_meet: bool,
    /// True if code of the daemon decides.
    pub by_hand: bool,
    /// Members with fewer numbers than before, if that was answered by `refuse`: an entry whose number does not fit stops the upgrade, and
    /// nothing is lost.
    pub must_fit: BTreeSet<String>,
    /// Unions with new arms: read by one of them, an old entry is what was written by another.
    pub new_arms: BTreeSet<String>,
}

impl Loss {
    /// Of the epochs that entries go through.
    #[must_use]
    pub fn of(steps: &[Converting<'_>]) -> Self {
        let mut loss = Self::default();
        for step in steps {
            match step.derive() {
                Ok(Some(derived)) => loss.take(&derived),
                Ok(None) => loss.by_hand = true,
                // Nothing is converted before that is answered.
                Err(_) => {}
            }
        }
        // What one epoch made of a number is another one to the next.
        if steps.len() > 1 {
            loss.inexact.values_mut().for_each(Vec::clear);
        }
        loss
    }

    fn take(&mut self, derived: &Derived) {
        for member in &derived.members {
            let has = |wanted: fn(&Act) -> bool| member.acts.iter().any(wanted);
            if has(|act| matches!(act, Act::Cast(.., Cast::Refuse))) {
                self.must_fit.insert(member.name().to_owned());
            }
            if has(|act| matches!(act, Act::MoreArms)) {
                self.new_arms.insert(member.name().to_owned());
            }
        }
        self.may_meet |= matches!(derived.leg.collide, Some(Collide::Sum | Collide::KeepOne));
        // What stood where nothing is was nothing.
        let lossy = derived.members.iter().filter(|member| !member.lossless && !member.is_padding());
        for member in lossy {
            let has = |wanted: fn(&Act) -> bool| member.acts.iter().any(wanted);
            if has(|act| matches!(act, Act::Shortened(..))) {
                self.given_up.insert(format!("{}[]", member.name()));
            } else if has(|act| matches!(act, Act::Dropped)) {
                self.given_up.insert(member.name().to_owned());
            }
            let is_whole = has(|act| matches!(act, Act::Shortened(..) | Act::Dropped));
            // Of elements, their own members tell it.
            let is_told = has(|act| matches!(act, Act::Elements)) && inside(derived, member);
            if !is_whole && !is_told {
                let name = member.name().to_owned();
                self.inexact.insert(name, member.bent.clone());
            }
        }
    }

    /// True if each entry is kept as a whole, as far as two layouts tell.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.given_up.is_empty() && self.inexact.is_empty() && !self.may_meet && !self.by_hand
    }

    /// Which numbers stop the upgrade of a node, of a map that is named or known: `a number in `bytes` of `flows` that does not fit`. `None` if
    /// each fits.
    #[must_use]
    pub fn unfit(&self, map: Option<&str>) -> Option<String> {
        let of = map.map_or_else(String::new, |map| format!(" of `{map}`"));
        let names = self.must_fit.iter().map(|name| format!("`{name}`"));
        let (are, is) = if self.must_fit.len() == 1 { ("a number", "does") } else { ("numbers", "do") };
        (!self.must_fit.is_empty())
            .then(|| format!("{are} in {}{of} that {is} not fit", listing::first(names, MOST_NAMES, "member")))
    }

    /// What is lost of the entries of `map`, a phrase each, but for entries that are put together: those are lost themselves.
    #[must_use]
    pub fn words(&self, map: &str) -> Vec<String> {
        let mut words = Vec::new();
        if !self.given_up.is_empty() {
            let are = if self.given_up.len() == 1 { "is" } else { "are" };
            // `a` and the end of `b`: the other way round, the end would be that of both.
            let (ends, whole): (Vec<_>, Vec<_>) = self.given_up.iter().partition(|name| name.ends_with("[]"));
            let whole = whole.into_iter().map(|name| format!("`{name}`"));
            let names =
                whole.chain(ends.into_iter().map(|name| format!("the end of `{}`", name.trim_end_matches("[]"))));
            words.push(format!("{} of `{map}` {are} given up", listing::first(names, MOST_NAMES, "member")));
        }
        // Which numbers, of a few; of many, what is done to each stands in the conversion.
        let is_told = |bent: &[Bent]| !bent.is_empty() && self.inexact.len() <= MOST_TOLD;
        let (told, open): (Vec<_>, Vec<_>) = self.inexact.iter().partition(|(_, bent)| is_told(bent));
        words.extend(told.iter().flat_map(|(name, bent)| bent.iter().map(move |bent| bent.words(name, map))));
        if !open.is_empty() {
            let names = open.iter().map(|(name, _)| format!("`{name}`"));
            words.push(format!("{} of `{map}` may be inexact", listing::first(names, MOST_NAMES, "member")));
        }
        if self.by_hand {
            words.push(format!("the daemon's code says what is kept of `{map}`"));
        }
        words
    }
}

/// True if a member within that one is not kept exactly either.
fn inside(derived: &Derived, of: &MemberPlan) -> bool {
    let elements = format!("{}[]", of.old.as_deref().unwrap_or_default());
    let is_inside = |member: &&MemberPlan| member.old.as_deref().is_some_and(|old| old.starts_with(&elements));
    derived.members.iter().filter(is_inside).any(|member| !member.lossless)
}

/// Most names in a phrase.
const MOST_NAMES: usize = 4;

/// Most members of which it is told which numbers become others.
const MOST_TOLD: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_must_fit_lose_nothing() {
        let unfit = |names: &[&str]| {
            let loss = Loss { must_fit: names.iter().map(|name| (*name).to_owned()).collect(), ..Loss::default() };
            assert!(loss.is_nothing());
            loss.unfit(None)
        };
        assert_eq!(unfit(&[]), None);
        assert_eq!(unfit(&["bytes"]).as_deref(), Some("a number in `bytes` that does not fit"));
        let two = "numbers in `bytes` and `packets` that do not fit";
        assert_eq!(unfit(&["bytes", "packets"]).as_deref(), Some(two));
    }

    #[test]
    fn the_end_of_one_array_is_not_read_as_that_of_another_member() {
        let given_up = |names: &[&str]| {
            let loss = Loss { given_up: names.iter().map(|name| (*name).to_owned()).collect(), ..Loss::default() };
            loss.words("sessions").concat()
        };
        assert_eq!(given_up(&["name[]", "tail"]), "`tail` and the end of `name` of `sessions` are given up");
        assert_eq!(given_up(&["name[]"]), "the end of `name` of `sessions` is given up");
    }
}
