//! Which arms of unions are new, and which of them old entries were written through.

use std::collections::{HashMap, HashSet};

use crate::leaves::{Arm, Leaf};

/// The arms of a new key or value, beside the members of the old one.
pub(crate) struct Arms<'l> {
    /// The new members by their paths.
    now: HashMap<&'l str, &'l Leaf<'l>>,
    /// The old members in each arm that is old, by the arm's number.
    old: HashMap<usize, Vec<&'l Leaf<'l>>>,
    /// The arms that are new.
    new: HashSet<usize>,
}

impl<'l> Arms<'l> {
    pub(crate) fn of(was: &'l [Leaf<'l>], is: &'l [Leaf<'l>]) -> Self {
        let now: HashMap<_, _> = is.iter().map(|leaf| (leaf.path.as_str(), leaf)).collect();
        let mut roots = HashMap::<&str, HashSet<usize>>::new();
        for leaf in is {
            for arm in &leaf.arms {
                roots.entry(leaf.root(arm)).or_default().insert(arm.number);
            }
        }
        let mut old = HashMap::<usize, Vec<&Leaf<'_>>>::new();
        for leaf in was {
            for number in ways_to(&leaf.path).filter_map(|way| roots.get(way)).flatten() {
                old.entry(*number).or_default().push(leaf);
            }
        }
        let mut arms = Self { now, old, new: HashSet::new() };
        arms.new = arms.without_old_members(was, is);
        arms
    }

    /// The arms in which no old member lies, of unions that have old ones too. A member that is gone may be one of the arm under
    /// another name, so that nothing is told of its union.
    fn without_old_members(&self, was: &[Leaf<'_>], is: &[Leaf<'_>]) -> HashSet<usize> {
        let stay: HashSet<_> = was.iter().filter(|old| self.stays(old)).map(|old| old.path.as_str()).collect();
        let staying = is.iter().filter(|leaf| stay.contains(leaf.path.as_str())).flat_map(|leaf| &leaf.arms);
        let mut unions: HashMap<_, _> = staying.map(|arm| (arm.union, arm.place)).collect();
        unions.retain(|_, place| {
            let is_in = |old: &&Leaf<'_>| old.is_in(*place);
            was.iter().filter(is_in).all(|old| stay.contains(old.path.as_str()))
        });
        let is_new = |arm: &&Arm| unions.contains_key(&arm.union) && !self.old.contains_key(&arm.number);
        is.iter().flat_map(|leaf| &leaf.arms).filter(is_new).map(|arm| arm.number).collect()
    }

    /// True if the old member is still found under its name, as what it was.
    pub(crate) fn stays(&self, old: &Leaf<'_>) -> bool {
        self.now.get(old.path.as_str()).is_some_and(|new| new.continues(old))
    }

    /// True if the new member lies in an arm that is new: nobody who chooses the arm by what else an entry says reads it in an old one.
    pub(crate) fn is_in_new(&self, leaf: &Leaf<'_>) -> bool {
        leaf.arms.iter().any(|arm| self.new.contains(&arm.number))
    }

    /// True unless the old member lies in another arm than the new one. An old arm that is another now holds other bytes there.
    pub(crate) fn may_share(&self, leaf: &Leaf<'_>, old: &Leaf<'_>) -> bool {
        leaf.arms.iter().filter_map(|arm| self.old.get(&arm.number)).all(|there| {
            there.iter().any(|other| other.path == old.path) || !there.iter().any(|other| other.is_apart(old))
        })
    }
}

/// The path, and those of all that the member lies in.
fn ways_to(path: &str) -> impl Iterator<Item = &str> {
    let within = path.match_indices(['.', '[']).map(|(at, _)| &path[..at]);
    within.chain([path])
}
