//! Which member of the old definition each of the new one comes from.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

use super::members::{Leaf, Scope, is_padding};
use super::padding::{Lost, Padding};
use super::parts::Part;
use super::plan::{Act, MemberPlan, Question};
use super::{Answers, Choice, Step};
use crate::diff::rules_between;
use crate::layout::{Layout, Shape};
use crate::rules::{self, Tier};

/// Most members that are looked at. Layouts are shared, so that hostile ones have any number.
const MAX_LEAVES: usize = 65_536;

/// Derives what becomes of members, by the answers of an epoch.
#[derive(Debug)]
pub(super) struct Deriver<'a> {
    pub(super) answers: &'a Answers,
    /// True for members of the key.
    pub(super) is_key: bool,
    /// The paths that were met on either side.
    pub(super) known: RefCell<[BTreeSet<String>; 2]>,
    /// Arrays of which the end is given up, though nobody was asked.
    pub(super) given_up: RefCell<BTreeSet<String>>,
    leaves_left: Cell<usize>,
}

/// What came of deriving something: nothing of it counts before it is taken.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) steps: Vec<Step>,
    pub(super) plans: Vec<MemberPlan>,
    pub(super) questions: Vec<Question>,
    /// Answers that were needed: the option and its path.
    pub(super) used: Vec<(&'static str, String)>,
    /// Of a key: what becomes of its padding.
    pub(super) lost: Lost,
    /// True if no member of a key is in the new one.
    pub(super) nothing_survives: bool,
}

impl Tried {
    pub(super) fn asks(path: &str, what: String, choices: Vec<Choice>) -> Self {
        Self { questions: vec![Question { path: path.to_owned(), what, choices }], ..Self::default() }
    }

    pub(super) fn take(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.plans.extend(other.plans);
        self.questions.extend(other.questions);
        self.used.extend(other.used);
        self.lost = self.lost.max(other.lost);
        self.nothing_survives |= other.nothing_survives;
    }

    pub(super) fn is_lossless(&self) -> bool {
        self.plans.iter().all(|plan| plan.lossless)
    }
}

impl<'a> Deriver<'a> {
    pub(super) fn new(answers: &'a Answers, is_key: bool) -> Self {
        Self {
            answers,
            is_key,
            known: RefCell::default(),
            given_up: RefCell::default(),
            leaves_left: Cell::new(MAX_LEAVES),
        }
    }

    /// What becomes of all members of two keys or values, or of two elements.
    pub(super) fn layouts(&self, old: (&Layout, &str), new: (&Layout, &str)) -> Tried {
        let scopes = self.scope(old, 0).and_then(|old| Some((old, self.scope(new, 1)?)));
        match scopes {
            Some((old, new)) => self.scopes(&old, &new),
            None => {
                let what = format!("`{}` has over {MAX_LEAVES} members, too many to derive", new.1);
                Tried::asks(new.1, what, vec![Choice::ByHand])
            }
        }
    }

    fn scope<'l>(&self, (layout, path): (&'l Layout, &str), side: usize) -> Option<Scope<'l>> {
        let scope = Scope::of(layout, path, self.leaves_left.get())?;
        self.leaves_left.set(self.leaves_left.get().checked_sub(scope.leaves.len() + 1)?);
        let known = &mut self.known.borrow_mut()[side];
        known.extend(scope.leaves.iter().flat_map(|leaf| leaf.arms.iter().chain([&leaf.path])).cloned());
        known.extend(scope.leaves.iter().flat_map(Leaf::arms_of_it));
        known.extend(scope.structs.iter().map(|node| node.path.clone()));
        Some(scope)
    }

    fn scopes(&self, old: &Scope<'_>, new: &Scope<'_>) -> Tried {
        let mut pairs = Pairs::new(old, new);
        let mut tried = self.by_bytes(old, new, &mut pairs);
        self.by_rename(old, new, &mut pairs, &mut tried);
        pairs.by_path(old, new);
        let whole = self.by_wrapping(old, new, &mut pairs);
        self.by_name(old, new, &mut pairs);
        self.shortened(old, new, &pairs);

        for (index, leaf) in new.leaves.iter().enumerate() {
            let Some(from) = pairs.of_new[index] else { continue };
            let was = &old.leaves[from];
            // Nothing is in either.
            if was.size_bits() == 0 && leaf.size_bits() == 0 {
                continue;
            }
            let one = self.leaf(was, leaf);
            // What can't be derived may be given up, and what stands where nothing is holds nothing.
            let is_nothing = is_padding(&was.path) && is_padding(&leaf.path);
            if !one.questions.is_empty() && (is_nothing || self.dropping(&was.path).is_some()) {
                pairs.part(from, index);
            } else {
                tried.take(one);
            }
        }
        tried.take(whole);
        let padding = if self.is_key {
            Padding::of((old, new), &pairs.of_new, &pairs.new_taken, &pairs.whole)
        } else {
            Padding::default()
        };
        self.rest(old, new, &pairs, &padding, &mut tried);
        tried.steps.extend(padding.steps);
        tried.lost = tried.lost.max(padding.lost);
        tried
    }

    /// By what the epoch says, of a member or of a struct around it.
    fn by_rename(&self, old: &Scope<'_>, new: &Scope<'_>, pairs: &mut Pairs, tried: &mut Tried) {
        if self.answers.rename.is_empty() {
            return;
        }
        for (index, leaf) in new.leaves.iter().enumerate() {
            let renamed = covering(&leaf.path, |path| self.answers.rename.get_key_value(path));
            let Some((to, from)) = renamed.filter(|(to, from)| to != from) else { continue };
            let path = format!("{from}{}", &leaf.path[to.len()..]);
            let found = old.leaves.iter().position(|old| old.path == path);
            if let Some(found) = found.filter(|&found| !pairs.old_is_taken(found) && !pairs.new_is_taken(index)) {
                pairs.join(found, index);
                tried.used.push(("rename", to.clone()));
            }
        }
    }

    /// A struct around one member, or a union around bytes, is the same as what is in it.
    fn by_wrapping(&self, old: &Scope<'_>, new: &Scope<'_>, pairs: &mut Pairs) -> Tried {
        let mut tried = Tried::default();
        let mut copy = |was: (&str, u64, &Layout), is: (&str, u64, &Layout)| {
            let len = is.2.size as u32;
            if len > 0 {
                tried.steps.push(Step::Copy { from: (was.1 / 8) as u32, to: (is.1 / 8) as u32, len });
            }
            let mut acts = moved(was.1, is.1);
            acts.push(Act::Reread(was.2.spelling(), is.2.spelling()));
            let (old, new) = (Some(was.0.to_owned()), Some(is.0.to_owned()));
            tried.plans.push(MemberPlan { old, new, acts, lossless: true, bent: Vec::new() });
        };
        for (index, leaf) in new.leaves.iter().enumerate() {
            if pairs.new_is_taken(index) || leaf.bits.is_some() {
                continue;
            }
            let path = new.relative(&leaf.path);
            let Some(node) = old.structs.iter().find(|node| old.relative(&node.path) == path) else { continue };
            if !node.leaves.clone().any(|old| pairs.old_is_taken(old)) && is_same(node.layout, leaf.layout) {
                copy((&node.path, node.offset_bits, node.layout), (&leaf.path, leaf.offset_bits, leaf.layout));
                node.leaves.clone().for_each(|old| pairs.settle_old(old));
                pairs.settle_new(index);
            }
        }
        for (index, leaf) in old.leaves.iter().enumerate() {
            if pairs.old_is_taken(index) || leaf.bits.is_some() {
                continue;
            }
            let path = old.relative(&leaf.path);
            let Some(node) = new.structs.iter().find(|node| new.relative(&node.path) == path) else { continue };
            if !node.leaves.clone().any(|new| pairs.new_is_taken(new)) && is_same(leaf.layout, node.layout) {
                copy((&leaf.path, leaf.offset_bits, leaf.layout), (&node.path, node.offset_bits, node.layout));
                node.leaves.clone().for_each(|new| pairs.settle_new(new));
                pairs.settle_old(index);
            }
        }
        tried
    }

    /// By a name that only one member on either side has which nothing else was found for.
    fn by_name(&self, old: &Scope<'_>, new: &Scope<'_>, pairs: &mut Pairs) {
        let free_old = pairs.free_old().filter(|&at| self.dropping(&old.leaves[at].path).is_none());
        let by_old = named(&old.leaves, free_old);
        let is_enum = |leaf: &Leaf<'_>| matches!(leaf.layout.shape, Shape::Enum(_));
        let free_new = pairs
            .free_new()
            .filter(|&at| is_enum(&new.leaves[at]) || !self.answers.default.contains_key(&new.leaves[at].path));
        let by_new = named(&new.leaves, free_new);
        let mut found: Vec<_> = by_new
            .iter()
            .filter_map(|(name, to)| match (by_old.get(name)?.as_slice(), to.as_slice()) {
                ([from], [to]) => Some((*from, *to)),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        for (from, to) in found {
            if self.leaf(&old.leaves[from], &new.leaves[to]).questions.is_empty() {
                pairs.join(from, to);
            }
        }
    }

    /// The answer that gives this member up: its path, or that of a struct around it.
    pub(super) fn dropping(&self, path: &str) -> Option<&'a str> {
        covering(path, |path| self.answers.drop.get(path)).map(String::as_str)
    }
}

/// The answer for the longest path that is `path` or around it.
fn covering<T>(path: &str, mut answer: impl FnMut(&str) -> Option<T>) -> Option<T> {
    let mut at = path;
    loop {
        if let Some(answer) = answer(at) {
            return Some(answer);
        }
        at = at.rsplit_once('.')?.0;
    }
}

/// That a member is at another place, if it is.
pub(super) fn moved(from: u64, to: u64) -> Vec<Act> {
    if from == to { Vec::new() } else { vec![Act::Moved { from, to }] }
}

/// True if two layouts are the same bytes in the same sense, however they are spelled, and whatever versions they have.
pub(super) fn is_same(old: &Layout, new: &Layout) -> bool {
    // Whether another meaning is answered for is not looked at here.
    let is_same = |rule: &&rules::Rule| rule.tier == Tier::Spelling || **rule == rules::MEANING_CHANGED;
    old.size == new.size && rules_between(old, new).iter().all(is_same)
}

/// The leaves among `of` by their last name.
fn named<'l>(leaves: &'l [Leaf<'_>], of: impl Iterator<Item = usize>) -> HashMap<&'l str, Vec<usize>> {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for index in of.filter(|&index| leaves[index].arms.is_empty()) {
        by_name.entry(leaves[index].name()).or_default().push(index);
    }
    by_name
}

/// Which leaves belong together.
#[derive(Debug)]
pub(super) struct Pairs {
    /// For each new leaf the old one.
    of_new: Vec<Option<usize>>,
    /// Leaves that are done with.
    old_taken: Vec<bool>,
    new_taken: Vec<bool>,
    /// Old bits that are carried as they are, with all that they have in them.
    whole: Vec<(u64, u64)>,
}

impl Pairs {
    fn new(old: &Scope<'_>, new: &Scope<'_>) -> Self {
        let (old, new) = (old.leaves.len(), new.leaves.len());
        let whole = Vec::new();
        Self { of_new: vec![None; new], old_taken: vec![false; old], new_taken: vec![false; new], whole }
    }

    fn join(&mut self, old: usize, new: usize) {
        self.of_new[new] = Some(old);
        self.settle_old(old);
        self.settle_new(new);
    }

    fn part(&mut self, old: usize, new: usize) {
        self.of_new[new] = None;
        self.old_taken[old] = false;
        self.new_taken[new] = false;
    }

    /// Bytes that are carried as they are, with the members that they are.
    pub(super) fn carry(&mut self, old: &Part<'_>, new: &Part<'_>) {
        old.leaves.clone().for_each(|old| self.settle_old(old));
        new.leaves.clone().for_each(|new| self.settle_new(new));
        self.whole.push(old.bits());
    }

    /// True if anything old is in the new side.
    pub(super) fn any(&self) -> bool {
        !self.whole.is_empty() || self.new_taken.iter().any(|taken| *taken)
    }

    /// Old and new leaves that belong together.
    pub(super) fn joined(&self) -> impl Iterator<Item = (usize, usize)> {
        self.of_new.iter().enumerate().filter_map(|(new, old)| Some(((*old)?, new)))
    }

    fn settle_old(&mut self, old: usize) {
        self.old_taken[old] = true;
    }

    fn settle_new(&mut self, new: usize) {
        self.new_taken[new] = true;
    }

    pub(super) fn old_is_taken(&self, old: usize) -> bool {
        self.old_taken[old]
    }

    pub(super) fn new_is_taken(&self, new: usize) -> bool {
        self.new_taken[new]
    }

    pub(super) fn free_old(&self) -> impl Iterator<Item = usize> {
        self.old_taken.iter().enumerate().filter(|(_, taken)| !**taken).map(|(at, _)| at)
    }

    pub(super) fn free_new(&self) -> impl Iterator<Item = usize> {
        self.new_taken.iter().enumerate().filter(|(_, taken)| !**taken).map(|(at, _)| at)
    }

    /// Members of one path, an anonymous union by any of its arms.
    fn by_path(&mut self, old: &Scope<'_>, new: &Scope<'_>) {
        let mut by_path: HashMap<&str, usize> = HashMap::new();
        for index in self.free_old() {
            let leaf = &old.leaves[index];
            for path in leaf.arms.iter().chain([&leaf.path]) {
                by_path.entry(old.relative(path)).or_insert(index);
            }
        }
        for (index, leaf) in new.leaves.iter().enumerate() {
            let mut paths = leaf.arms.iter().chain([&leaf.path]);
            let found = paths.find_map(|path| by_path.get(new.relative(path)).copied());
            // A name that a struct has as well as a union in it is no pair.
            let alike = |&from: &usize| old.leaves[from].arms.is_empty() == leaf.arms.is_empty();
            if let Some(from) = found.filter(alike)
                && !self.old_is_taken(from)
                && !self.new_is_taken(index)
            {
                self.join(from, index);
            }
        }
    }
}
