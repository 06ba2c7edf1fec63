//! Members that are on one side only: given up, new, or the same bytes under another name or in another shape.

use std::collections::BTreeSet;

use super::matching::{Deriver, Pairs, Tried, is_same};
use super::members::{Leaf, Node, Scope, is_padding, last_name};
use super::padding::Padding;
use super::parts::{Kind, Part, Parts, is_like};
use super::plan::{Act, MemberPlan, Question};
use super::{Bent, Choice, Step, defaults};

/// Most pairs of members that are held against each other, to see whether one may be the other.
const MOST_LOOKED_AT: usize = 1 << 20;

impl Deriver<'_> {
    /// By what the epoch says of bytes: that a struct, an arm of a union or something of another shape is what these were.
    pub(super) fn by_bytes(&self, old: &Scope<'_>, new: &Scope<'_>, pairs: &mut Pairs) -> Tried {
        let mut tried = Tried::default();
        if self.answers.rename.is_empty() {
            return tried;
        }
        let (old_parts, new_parts) = (Parts::of(old), Parts::of(new));
        for (to, from) in &self.answers.rename {
            let both = new_parts.at_path(to).flat_map(|new| old_parts.at_path(from).map(move |old| (old, new)));
            let fits = |(was, is): &(&Part<'_>, &Part<'_>)| {
                let is_free = was.leaves.clone().all(|at| !pairs.old_is_taken(at))
                    && is.leaves.clone().all(|at| !pairs.new_is_taken(at));
                is_free && was.layout.size == is.layout.size && !self.is_matched_inside((old, was), (new, is))
            };
            let Some((was, is)) = both.filter(fits).min_by_key(|(was, is)| (was.kind, is.kind)) else { continue };
            tried.used.push(("rename", to.clone()));
            let len = is.layout.size as u32;
            tried.steps.push(Step::Copy { from: (was.offset_bits / 8) as u32, to: (is.offset_bits / 8) as u32, len });
            let mut acts = Vec::new();
            if old.relative(&was.path) != new.relative(&is.path) {
                acts.push(Act::Renamed(was.path.clone()));
            }
            if was.offset_bits != is.offset_bits {
                acts.push(Act::Moved { from: was.offset_bits, to: is.offset_bits });
            }
            if was.layout.spelling() != is.layout.spelling() {
                acts.push(Act::Reread(was.layout.spelling(), is.layout.spelling()));
            }
            // Of a union, the bytes beside the arm are lost.
            let lossless = was.kind != Kind::Arm || old.leaves[was.leaves.start].layout.size == was.layout.size;
            let bent = if lossless { Vec::new() } else { vec![Bent::Beside(was.path.clone())] };
            let (path, new_path) = (Some(was.path.clone()), Some(is.path.clone()));
            tried.plans.push(MemberPlan { old: path, new: new_path, acts, lossless, bent });
            pairs.carry(was, is);
        }
        tried
    }

    /// True if two parts are members, or have members in them that go by one name: these are derived one by one.
    fn is_matched_inside(&self, (old, was): (&Scope<'_>, &Part<'_>), (new, is): (&Scope<'_>, &Part<'_>)) -> bool {
        match (was.kind, is.kind) {
            (Kind::Member, Kind::Member) => true,
            (Kind::Struct, Kind::Struct) => {
                let inside = |leaf: &Leaf<'_>, of: &Part<'_>| leaf.path.get(of.path.len()..).map(str::to_owned);
                let names: BTreeSet<_> = old.leaves[was.leaves.clone()].iter().map(|leaf| inside(leaf, was)).collect();
                new.leaves[is.leaves.clone()].iter().any(|leaf| names.contains(&inside(leaf, is)))
            }
            _ => false,
        }
    }

    /// Members that are on one side only.
    pub(super) fn rest(&self, old: &Scope<'_>, new: &Scope<'_>, pairs: &Pairs, padding: &Padding, tried: &mut Tried) {
        let mut found = Found {
            survives: !self.is_key || old.path != "key" || pairs.any(),
            parts: if pairs.free_old().next().is_some() { Parts::of(new) } else { Parts::default() },
            fresh: pairs.free_new().filter(|&at| may_be_old(&new.leaves[at])).collect(),
            asked: BTreeSet::new(),
            asked_of_new: BTreeSet::new(),
        };
        let looked_at = pairs.free_old().count().saturating_mul(found.fresh.len());
        let mut gone: Vec<String> = Vec::new();
        let mut unasked = Vec::new();
        let asked_before = tried.questions.len();
        for index in pairs.free_old() {
            let leaf = &old.leaves[index];
            if leaf.is_lock() {
                continue;
            }
            if let Some(answer) = self.dropping(&leaf.path) {
                tried.used.push(("drop", answer.to_owned()));
                gone.push(answer.to_owned());
                continue;
            }
            // Nothing is in it.
            if leaf.size_bits() == 0 {
                continue;
            }
            if is_padding(&leaf.path) {
                gone.push(leaf.path.clone());
                continue;
            }
            // A struct of which nothing is left is asked of once.
            let free = |at: usize| !pairs.old_is_taken(at);
            let around = old.structs.iter().filter(|node| node.path != old.path && node.leaves.contains(&index));
            let around = around.filter(|node| node.leaves.clone().all(free)).max_by_key(|node| node.leaves.len());
            let of = Gone::of(leaf, index, around);
            if found.asked.contains(of.path) || gone.iter().any(|gone| gone == of.path) {
                continue;
            }
            let whole = self.same_bytes((old, new), &of, pairs, &mut found);
            let mut of_leaf = || self.same_bytes((old, new), &Gone::of(leaf, index, None), pairs, &mut found);
            if let Some(question) = whole {
                found.asked.insert(of.path.to_owned());
                tried.questions.push(question);
            } else if let Some(question) = around.and_then(|_| of_leaf()) {
                tried.questions.push(question);
            } else if looked_at > MOST_LOOKED_AT || self.may_be_there(&of, new, pairs, &found) {
                found.asked.insert(of.path.to_owned());
                tried.questions.push(self.has_another_name(&of, new, &found));
            } else {
                gone.push(of.path.to_owned());
                unasked.push(of.path.to_owned());
            }
        }
        for index in pairs.free_new() {
            let leaf = &new.leaves[index];
            self.added(leaf, found.asked_of_new.contains(&index), padding.is_named(leaf), tried);
        }
        if self.is_key {
            is_replaced(&mut tried.questions, asked_before, unasked);
        }
        tried.nothing_survives |= !found.survives && old.size_bits > 0;
        gone.dedup();
        let dropped = |path| {
            let acts = vec![Act::Dropped];
            MemberPlan { old: Some(path), new: None, acts, lossless: false, bent: Vec::new() }
        };
        tried.plans.extend(gone.into_iter().map(dropped));
    }

    /// A member of the new side that has the same bytes, under another name or in another shape.
    fn same_bytes(
        &self,
        (old, new): (&Scope<'_>, &Scope<'_>),
        of: &Gone<'_>,
        pairs: &Pairs,
        found: &mut Found<'_>,
    ) -> Option<Question> {
        let (to, spelled) = match &of.part {
            Some(part) => {
                let is_free = |at: usize| !pairs.new_is_taken(at) && !found.asked_of_new.contains(&at);
                let path = format!("{}{}", new.path, old.relative(of.path));
                let to = found.parts.with_bytes_of(part, &path, is_free)?;
                (to.clone(), is_same(part.layout, to.layout))
            }
            // A bit-field, which is no whole bytes.
            None => {
                let place = |leaf: &Leaf<'_>| (leaf.offset_bits, leaf.bits);
                let is_other = |&&at: &&usize| {
                    place(&new.leaves[at]) == place(of.leaf) && is_same(of.leaf.layout, new.leaves[at].layout)
                };
                let at = *found.fresh.iter().find(is_other).filter(|at| !found.asked_of_new.contains(at))?;
                let leaf = &new.leaves[at];
                let (path, offset_bits, layout) = (leaf.path.clone(), leaf.offset_bits, leaf.layout);
                (Part { path, offset_bits, layout, leaves: at..at + 1, kind: Kind::Member }, true)
            }
        };
        found.asked_of_new.extend(to.leaves.clone());
        let (path, name) = (of.path, &to.path);
        let what = match spelled {
            true => format!("`{path}` is gone, and `{name}` is at its bytes: is it another name for it?"),
            false => {
                let (was, is) =
                    (of.part.as_ref().map_or_else(String::new, |part| part.layout.spelling()), to.layout.spelling());
                format!("`{path}` was {was}, and `{name}` is the same bytes as {is}: are they right as they are?")
            }
        };
        let mut choices = vec![Choice::Rename(to.path.clone(), path.to_owned())];
        // Keys without it would be one.
        if !self.is_key {
            choices.push(Choice::Drop(path.to_owned()));
        } else if !spelled {
            choices.push(Choice::ByHand);
        }
        Some(Question { path: path.to_owned(), what, choices })
    }

    /// True if a new member may be this one: one of its type, one over its bytes, or one of a like name.
    fn may_be_there(&self, of: &Gone<'_>, new: &Scope<'_>, pairs: &Pairs, found: &Found<'_>) -> bool {
        let (start, end) = of.bits();
        let name = last_name(of.path);
        let leaves = found.fresh.iter().filter(|at| !found.asked_of_new.contains(at)).map(|at| &new.leaves[*at]);
        let by_member = leaves.into_iter().any(|leaf| {
            let overlaps = leaf.offset_bits < end && start < leaf.offset_bits + leaf.size_bits();
            overlaps || is_like(name, leaf.name()) || of.around.is_none() && self.could_be(of.leaf, leaf)
        });
        let Some(around) = of.around.filter(|_| !by_member) else { return by_member };
        let is_free = |node: &&Node<'_>| node.leaves.clone().all(|at| !pairs.new_is_taken(at)) && node.path != new.path;
        let mut structs = new.structs.iter().filter(is_free);
        structs.any(|node| is_like(name, last_name(&node.path)) || is_same(around.layout, node.layout))
    }

    fn has_another_name(&self, of: &Gone<'_>, new: &Scope<'_>, found: &Found<'_>) -> Question {
        let path = of.path;
        let candidates = found.fresh.iter().filter(|at| !found.asked_of_new.contains(at)).map(|at| &new.leaves[*at]);
        let candidates = candidates.filter(|leaf| of.around.is_none() && self.leaf(of.leaf, leaf).questions.is_empty());
        let like = |leaf: &&Leaf<'_>| is_like(last_name(path), leaf.name());
        let mut candidates: Vec<_> =
            candidates.filter(|leaf| like(leaf) || leaf.size_bits() == of.leaf.size_bits()).take(1 << 10).collect();
        candidates.sort_by_key(|leaf| !like(leaf));
        let rename = candidates.first().map(|leaf| Choice::Rename(leaf.path.clone(), path.to_owned()));
        let is_like = candidates.first().is_some_and(like);
        let drop = found.survives.then(|| Choice::Drop(path.to_owned()));
        let mut choices: Vec<_> = if is_like { [rename, drop] } else { [drop, rename] }.into_iter().flatten().collect();
        if choices.is_empty() {
            choices.push(Choice::ByHand);
        }
        let what = format!("`{path}` is gone: is it given up, or does it have another name?");
        Question { path: path.to_owned(), what, choices }
    }

    /// A member that the old definition does not have.
    fn added(&self, leaf: &Leaf<'_>, may_be_renamed: bool, was_padding: bool, tried: &mut Tried) {
        let what = match self.answers.default.get(&leaf.path) {
            Some(text) => {
                tried.used.push(("default", leaf.path.clone()));
                match defaults::set(leaf, text) {
                    Ok(step) => tried.steps.extend(step),
                    Err(problem) => {
                        let what = format!("`{}` can't begin as {text}: {problem}", leaf.path);
                        let choices = vec![Choice::Default(leaf.path.clone(), "0".to_owned())];
                        tried.questions.push(Question { path: leaf.path.clone(), what, choices });
                    }
                }
                text.clone()
            }
            None if leaf.is_lock() => return,
            None if self.is_key && leaf.size_bits() > 0 && !was_padding && !is_padding(&leaf.path) => {
                if !may_be_renamed {
                    let what = format!(
                        "`{}` is new in the key, and lookups compare the whole key: what value should old entries get?",
                        leaf.path
                    );
                    let choices = vec![Choice::Default(leaf.path.clone(), "0".to_owned())];
                    tried.questions.push(Question { path: leaf.path.clone(), what, choices });
                }
                return;
            }
            None => "0".to_owned(),
        };
        let act = match leaf.kernel_field() {
            Some(field) => Act::Emptied(field.to_owned()),
            None if self.is_key && was_padding => Act::Named(what),
            None => Act::Added { what, is_answer: self.answers.default.contains_key(&leaf.path) },
        };
        let new = Some(leaf.path.clone());
        tried.plans.push(MemberPlan { old: None, new, acts: vec![act], lossless: true, bent: Vec::new() });
    }

    /// True if a member may be another one of its type.
    fn could_be(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> bool {
        old.size_bits() == new.size_bits()
            && std::mem::discriminant(&old.layout.shape) == std::mem::discriminant(&new.layout.shape)
            && self.leaf(old, new).questions.is_empty()
    }

    /// Gives up the end of arrays that are shorter now, if no new member has the bytes of it. Those of a key may tell keys apart.
    pub(super) fn shortened(&self, old: &Scope<'_>, new: &Scope<'_>, pairs: &Pairs) {
        if self.is_key {
            return;
        }
        for (from, to) in pairs.joined() {
            let (was, is) = (&old.leaves[from], &new.leaves[to]);
            let Some(((stride, many), (_, few))) = was.elements().zip(is.elements()) else { continue };
            let end = was.offset_bits + stride * 8 * u64::from(few);
            let lost = (end, end + stride * 8 * u64::from(many.saturating_sub(few)));
            let mut fresh = pairs.free_new().map(|at| &new.leaves[at]).filter(|leaf| may_be_old(leaf));
            let is_over = |leaf: &Leaf<'_>| leaf.offset_bits < lost.1 && lost.0 < leaf.offset_bits + leaf.size_bits();
            if few < many && (is_padding(&was.path) || !fresh.any(is_over)) {
                self.given_up.borrow_mut().insert(format!("{}[]", was.path));
            }
        }
    }
}

/// If one member of a key is gone and another is new, and no bytes of the one are those of the other, it is the author who knows which
/// old entry is which new one. To give one up and to make the other 0 would leave entries that no program looks up.
fn is_replaced(questions: &mut Vec<Question>, first: usize, gone: Vec<String>) {
    let is_rename = |choice: &Choice| matches!(choice, Choice::Rename(..));
    let is_default = |choice: &Choice| matches!(choice, Choice::Default(..));
    let own = &questions[first..];
    let new: Vec<_> = own.iter().filter(|of| of.choices.iter().any(is_default)).map(|of| of.path.clone()).collect();
    let is_gone = |of: &&Question| !new.contains(&of.path) && !of.choices.iter().any(is_rename);
    if new.is_empty() || gone.is_empty() && !own.iter().any(|of| is_gone(&of)) {
        return;
    }
    for question in &mut questions[first..] {
        question.choices.retain(is_rename);
        if question.choices.is_empty() {
            question.choices.push(Choice::ByHand);
        }
    }
    for path in gone {
        let what =
            format!("`{path}` is gone from the key, and `{}` is new: nothing tells which old entry is which", new[0]);
        questions.push(Question { path, what, choices: vec![Choice::ByHand] });
    }
}

/// A new member that may have been an old one.
fn may_be_old(leaf: &Leaf<'_>) -> bool {
    leaf.kernel_field().is_none() && !is_padding(&leaf.path) && leaf.size_bits() > 0
}

/// What is known of the members that are on one side only.
struct Found<'a> {
    /// True if keys still have anything of what they were.
    survives: bool,
    /// Of the new side.
    parts: Parts<'a>,
    /// Its members that come from nowhere, and may be old ones.
    fresh: Vec<usize>,
    /// Paths of old members that are asked of.
    asked: BTreeSet<String>,
    /// New members that are, by questions of old ones.
    asked_of_new: BTreeSet<usize>,
}

/// A member that is gone, or a struct of which nothing is left.
struct Gone<'s> {
    path: &'s str,
    leaf: &'s Leaf<'s>,
    around: Option<&'s Node<'s>>,
    /// None for a bit-field.
    part: Option<Part<'s>>,
}

impl<'s> Gone<'s> {
    fn of(leaf: &'s Leaf<'s>, index: usize, around: Option<&'s Node<'s>>) -> Self {
        let part = |path: &str, offset_bits, layout, leaves, kind| {
            Some(Part { path: path.to_owned(), offset_bits, layout, leaves, kind })
        };
        match around {
            Some(node) => {
                let part = part(&node.path, node.offset_bits, node.layout, node.leaves.clone(), Kind::Struct);
                Self { path: &node.path, leaf, around, part }
            }
            None => {
                let is_whole = leaf.bits.is_none() && leaf.size_bits() > 0 && leaf.kernel_field().is_none();
                let of = || part(&leaf.path, leaf.offset_bits, leaf.layout, index..index + 1, Kind::Member);
                let part = if is_whole { of() } else { None };
                Self { path: &leaf.path, leaf, around, part }
            }
        }
    }

    fn bits(&self) -> (u64, u64) {
        match self.around {
            Some(node) => (node.offset_bits, node.offset_bits + node.layout.size * 8),
            None => (self.leaf.offset_bits, self.leaf.offset_bits + self.leaf.size_bits()),
        }
    }
}
