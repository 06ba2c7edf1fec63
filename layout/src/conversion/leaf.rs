//! What becomes of one member, of which the old and the new side are known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ptr;

use super::matching::{Deriver, Tried, is_same, moved};
use super::members::{Leaf, Number, Order, last_name, number, order};
use super::plan::{Act, MemberPlan};
use super::units::Unit;
use super::{Answers, Bent, Cast, Choice, Int, Scale, Step, defaults};
use crate::kernel_field;
use crate::layout::{Composite, CompositeKind, Enumeration, Layout, Shape};
use crate::wide_enum;

/// Most enumerators that get other numbers one by one.
const MAX_NUMBERS: usize = 256;

/// The unit that the name of a member tells, or that of its type.
fn unit(name: &str, layout: &Layout) -> Option<Unit> {
    Unit::of(name).or_else(|| layout.typedef.as_deref().and_then(Unit::of))
}

/// True if the bytes of one member are right for the other, all through: no number has another byte order or unit, which
/// names alone tell, and none is the kernel's.
fn is_same_inside(old: (&str, &Layout), new: (&str, &Layout)) -> bool {
    is_same(old.1, new.1) && kernel_field::any(new.1).is_none() && has_same_sense(old, new, &mut HashSet::new())
}

fn has_same_sense(
    (old_name, old): (&str, &Layout),
    (new_name, new): (&str, &Layout),
    seen: &mut HashSet<(*const Composite, *const Composite)>,
) -> bool {
    match (&old.shape, &new.shape) {
        (Shape::Array { element: old, .. }, Shape::Array { element: new, .. }) => {
            has_same_sense((old_name, old), (new_name, new), seen)
        }
        (Shape::Composite(old), Shape::Composite(new)) => {
            if !seen.insert((ptr::from_ref(old.as_ref()), ptr::from_ref(new.as_ref()))) {
                return true;
            }
            let members = old.flat_members();
            let by_name: HashMap<&str, &Layout> =
                members.iter().map(|flat| (&*flat.member.name, flat.member.layout.as_ref())).collect();
            new.flat_members().iter().all(|flat| {
                let name = &*flat.member.name;
                by_name.get(name).is_none_or(|old| has_same_sense((name, old), (name, &flat.member.layout), seen))
            })
        }
        _ => {
            let units = (unit(old_name, old), unit(new_name, new));
            let same_unit = !matches!(units, (Some(was), Some(is)) if was != is);
            let is_number = matches!(old.shape, Shape::Int(_) | Shape::Enum(_));
            !is_number || same_unit && (order(old) == order(new) || old.size == 1)
        }
    }
}

impl Deriver<'_> {
    /// What becomes of a member.
    pub(super) fn leaf(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> Tried {
        let path = new.path.as_str();
        let mut acts = self.other_name(old, new);
        acts.extend(moved(old.offset_bits, new.offset_bits));
        if old.is_lock() && new.is_lock() {
            return Tried::default();
        }
        if let Some(field) = new.kernel_field().or_else(|| old.kernel_field()) {
            let what = format!("`{path}` is a {field}, which belongs to the kernel, and no entry can bring it along");
            return Tried::asks(path, what, vec![Choice::Drop(old.path.clone())]);
        }
        let scale = match self.unit(old, new) {
            Ok(scale) => scale,
            Err(asks) => return *asks,
        };
        let numbers = (number(old), number(new));
        if let (Some(was), Some(is)) = numbers
            && (scale.is_some() || !self.is_as_it_was(old, new))
        {
            return self.number(old, new, (was, is), scale, acts);
        }
        if old.bits.is_some() || new.bits.is_some() {
            // Equal, as far as bit-fields can be: their place may differ.
            if let (Some(was), Some(is)) = numbers {
                let int = Int { from: was.bits, to: is.bits, cast: None, scale: None, numbers: Vec::new() };
                return done(old, new, Some(Step::Int(int)), acts, true);
            }
        }
        if self.is_as_it_was(old, new) {
            return done(old, new, copy(old, new, 0, 0, new.len()), acts, true);
        }
        if self.has_right_bytes(old, new) {
            acts.push(Act::Reread(old.spelling(), new.spelling()));
            let mut tried = done(old, new, copy(old, new, 0, 0, new.len()), acts, true);
            tried.used.push(("rename", path.to_owned()));
            return tried;
        }
        let same_bytes = Choice::Rename(path.to_owned(), old.path.clone());
        match (&old.layout.shape, &new.layout.shape) {
            (Shape::Array { element: was, len: m }, Shape::Array { element: is, len: n }) => {
                self.array(old, new, (was, *m), (is, *n), acts)
            }
            (Shape::Composite(was), Shape::Composite(is))
                if was.kind() == CompositeKind::Union && is.kind() == CompositeKind::Union =>
            {
                let has = |arm: &crate::layout::FlatMember<'_>| {
                    is.flat_members().iter().any(|other| {
                        let place = |arm: &crate::layout::FlatMember<'_>| (arm.offset_bits, arm.member.bits);
                        other.member.name == arm.member.name
                            && place(other) == place(arm)
                            && is_same(&arm.member.layout, &other.member.layout)
                    })
                };
                if new.len() >= old.len() && was.flat_members().iter().all(has) {
                    acts.push(Act::MoreArms);
                    return done(old, new, copy(old, new, 0, 0, old.len()), acts, true);
                }
                if new.len() == old.len() {
                    let what =
                        format!("`{path}` is a union, of which arms have changed: are its bytes right as they are?");
                    return Tried::asks(path, what, self.choices(old, &[same_bytes, Choice::ByHand]));
                }
                let what = format!("`{path}` is a union, of which arms have changed");
                Tried::asks(path, what, self.choices(old, &[Choice::ByHand]))
            }
            (Shape::Pointer { .. }, Shape::Pointer { .. }) | (Shape::Opaque { .. }, Shape::Opaque { .. })
                if old.len() == new.len() =>
            {
                acts.push(Act::Reread(old.spelling(), new.spelling()));
                done(old, new, copy(old, new, 0, 0, new.len()), acts, true)
            }
            _ if old.layout.size == new.layout.size && old.bits.is_none() && new.bits.is_none() => {
                let (was, is) = (old.spelling(), new.spelling());
                let what = format!("`{path}` was {was} and is {is}: are the bytes right as they are?");
                Tried::asks(path, what, self.choices(old, &[same_bytes, Choice::ByHand]))
            }
            _ => {
                let what = format!(
                    "`{path}` was {} and is {}, and nothing tells how one becomes the other",
                    old.spelling(),
                    new.spelling()
                );
                Tried::asks(path, what, self.choices(old, &[Choice::ByHand]))
            }
        }
    }

    /// Answers, and always that the member is given up: not of a key, of which others may depend on it.
    fn choices(&self, old: &Leaf<'_>, ways: &[Choice]) -> Vec<Choice> {
        let mut choices = ways.to_vec();
        if !self.is_key && last_name(&old.path) != old.path {
            choices.push(Choice::Drop(old.path.clone()));
        }
        choices
    }

    /// True if the epoch says of bytes in another shape that they are right as they are.
    fn has_right_bytes(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> bool {
        let is_said = self.answers.rename.get(&new.path) == Some(&old.path);
        let is_regrouped = match (&old.layout.shape, &new.layout.shape) {
            (Shape::Array { element: was, .. }, Shape::Array { element: is, .. }) => {
                self.is_regrouped((old, was), (new, is))
            }
            _ => true,
        };
        let is_whole = old.bits.is_none() && new.bits.is_none() && old.len() == new.len() && old.len() > 0;
        is_said && is_whole && is_regrouped && (number(old).is_none() || number(new).is_none())
    }

    /// That a member has another name, or is in another struct.
    fn other_name(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> Vec<Act> {
        let shared = |path: &str| old.path == path || old.arms.iter().any(|arm| arm == path);
        if shared(&new.path) || new.arms.iter().any(|arm| shared(arm)) {
            return Vec::new();
        }
        if old.name() == new.name() && old.path.matches('.').count() + new.path.matches('.').count() > 2 {
            return vec![Act::Nested(old.path.clone())];
        }
        if old.name() == new.name() { Vec::new() } else { vec![Act::Renamed(old.path.clone())] }
    }

    /// True if nothing but its place differs.
    fn is_as_it_was(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> bool {
        old.bits == new.bits
            && is_same_inside((old.name(), old.layout), (new.name(), new.layout))
            && !self.scales_within(&new.path)
    }

    /// True if elements of an array are of another unit.
    fn scales_within(&self, path: &str) -> bool {
        self.answers.scale.keys().any(|scaled| scaled.strip_prefix(path).is_some_and(|rest| rest.starts_with('[')))
    }

    /// The change of unit, if there is one; what is asked, if names say that there is one and no answer does.
    fn unit(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> Result<Option<Scale>, Box<Tried>> {
        if number(old).is_none() || number(new).is_none() {
            return Ok(None);
        }
        if let Some(scale) = self.answers.scale.get(&new.path) {
            return Ok(Some(*scale));
        }
        let (was, is) = (unit(old.name(), old.layout), unit(new.name(), new.layout));
        let (Some(was), Some(is)) = (was, is) else { return Ok(None) };
        if was == is {
            return Ok(None);
        }
        let path = &new.path;
        let what = format!(
            "`{path}` is in {}, and `{}` was in {}: what are old numbers multiplied by?",
            is.name(),
            old.path,
            was.name()
        );
        let scale = match was.scale_to(is) {
            Some(scale) => Choice::Scale(path.clone(), scale),
            None => Choice::Open("scale", format!("{path}=N/M")),
        };
        let same = Choice::Scale(path.clone(), Scale::ONE);
        Err(Box::new(Tried::asks(path, what, vec![scale, same])))
    }

    fn number(
        &self,
        old: &Leaf<'_>,
        new: &Leaf<'_>,
        (was, is): (Number, Number),
        scale: Option<Scale>,
        mut acts: Vec<Act>,
    ) -> Tried {
        let path = new.path.as_str();
        let mut used = Vec::new();
        if scale.is_some() {
            used.push(("scale", path.to_owned()));
        }
        let scale = scale.filter(|scale| *scale != Scale::ONE);
        let (from, to) = (old.spelling(), new.spelling());
        if was.order != is.order && was.bits.width.max(is.bits.width) > 8
            || was.order != Order::Host && (scale.is_some() || was.bits.width != is.bits.width)
            || is.is_bool && !was.is_bool
        {
            return self.bytes(old, new, (was, is), scale, acts, used);
        }
        if scale.is_some() && (was.bits.signed || is.bits.signed) {
            let what = format!("`{path}` is signed, and only unsigned numbers can be scaled");
            return Tried::asks(path, what, vec![Choice::ByHand]);
        }
        let mut int = Int { from: was.bits, to: is.bits, cast: None, scale, numbers: Vec::new() };
        if let (Shape::Enum(before), Shape::Enum(after)) = (&old.layout.shape, &new.layout.shape) {
            let size = old.layout.size.min(new.layout.size);
            match self.enumerators(path, (before, after, size), &mut acts, &mut used) {
                Ok(numbers) => int.numbers = numbers,
                Err(asks) => return *asks,
            }
        }
        if let Some(scale) = scale {
            acts.push(Act::Scaled(scale));
        }
        if !int.always_fits() {
            let Some(cast) = self.answers.cast.get(path) else {
                let what = if was.bits.signed != is.bits.signed {
                    format!("`{path}` was {from} and is {to}: what becomes of a number that does not fit?")
                } else {
                    format!(
                        "`{path}` was {from} and is narrower now, {to}: what becomes of a number that does not fit?"
                    )
                };
                let cast = Cast::ALL.map(|cast| Choice::Cast(path.to_owned(), cast));
                return Tried::asks(path, what, self.choices(old, &cast));
            };
            used.push(("cast", path.to_owned()));
            int.cast = Some(*cast);
            acts.push(Act::Cast(from, to, *cast));
        } else if was.bits.width != is.bits.width && scale.is_none() {
            acts.push(Act::Widened(from, to));
        }
        let lossless = int.is_lossless();
        let bent = if lossless { Vec::new() } else { Bent::of(&int, old.layout, new.layout) };
        let plain = int.cast.is_none() && int.scale.is_none() && int.numbers.is_empty();
        let step = match (was.bits.bytes(), is.bits.bytes()) {
            (Some((from, len)), Some((to, other))) if plain && len == other => Step::Copy { from, to, len },
            _ => Step::Int(int),
        };
        let mut tried = done(old, new, Some(step), acts, lossless);
        tried.plans.iter_mut().for_each(|plan| plan.bent.clone_from(&bent));
        tried.used.extend(used);
        tried
    }

    /// Numbers in a byte order of their own: bytes, in the places where that order has them.
    fn bytes(
        &self,
        old: &Leaf<'_>,
        new: &Leaf<'_>,
        (was, is): (Number, Number),
        scale: Option<Scale>,
        mut acts: Vec<Act>,
        mut used: Vec<(&'static str, String)>,
    ) -> Tried {
        let path = new.path.as_str();
        let (from, to) = (old.spelling(), new.spelling());
        let whole = old.bits.is_none() && new.bits.is_none() && scale.is_none();
        if whole && was.order == is.order && was.order != Order::Host && is.bits.width >= was.bits.width {
            let skip = if is.order == Order::Big { new.len() - old.len() } else { 0 };
            acts.push(Act::Widened(from, to));
            return done(old, new, copy(old, new, 0, skip, old.len()), acts, true);
        }
        let same_width = whole && was.bits.width == is.bits.width;
        let answer = Choice::Cast(path.to_owned(), Cast::Truncate);
        let mut ways = if same_width { vec![answer] } else { Vec::new() };
        ways.push(Choice::ByHand);
        if !same_width || self.answers.cast.get(path) != Some(&Cast::Truncate) {
            let what = format!("`{path}` was {from} and is {to}: are the bytes right as they are?");
            return Tried::asks(path, what, self.choices(old, &ways));
        }
        used.push(("cast", path.to_owned()));
        acts.push(Act::Reread(from, to));
        let mut tried = done(old, new, copy(old, new, 0, 0, new.len()), acts, true);
        tried.used.extend(used);
        tried
    }

    /// Which numbers become which, so that enumerators keep their names.
    fn enumerators(
        &self,
        path: &str,
        (before, after, size): (&Enumeration, &Enumeration, u64),
        acts: &mut Vec<Act>,
        used: &mut Vec<(&'static str, String)>,
    ) -> Result<Vec<(u64, u64)>, Box<Tried>> {
        let new: BTreeMap<&str, i128> = after.values.iter().map(|(name, value)| (&**name, *value)).collect();
        // What each number is by now: two names of one number may have parted.
        let mut numbers_now: BTreeMap<i128, BTreeSet<i128>> = BTreeMap::new();
        for (name, number) in &before.values {
            numbers_now.entry(*number).or_default().extend(new.get(&**name));
        }
        // A name that is new under the number of one that is gone is another name for it; one that had another number is not.
        let is_new = |name: &str| before.values.iter().all(|(old, _)| &**old != name);
        // What counts of a number, as for the rule.
        let counts = |value: i128| wide_enum::number(value, size);
        let is_renamed = |number: i128| after.values.iter().any(|(name, value)| *value == number && is_new(name));
        let (mut numbers, mut retired) = (BTreeMap::new(), Vec::new());
        for (number, now) in &numbers_now {
            let names = || before.values.iter().filter(|(_, value)| value == number).map(|(name, _)| name.to_string());
            match (now.first(), now.len()) {
                (Some(now), 1) if counts(*now) == counts(*number) => {}
                (Some(now), 1) => _ = numbers.insert(*number as u64, *now as u64),
                (None, _) if is_renamed(*number) => {}
                (None, _) => retired.extend(names().map(|name| (name, *number))),
                (Some(_), _) => {
                    let names = names().collect::<Vec<_>>().join(", ");
                    let what = format!("{names} of `{path}` were one number, {number}, and are several now");
                    return Err(Box::new(Tried::asks(path, what, vec![Choice::ByHand])));
                }
            }
        }
        if !numbers.is_empty() {
            acts.push(Act::Renumbered(numbers.len()));
        }
        if !retired.is_empty() {
            let names: Vec<_> = retired.iter().map(|(name, _)| name.clone()).collect();
            if let Some(text) = self.answers.default.get(path) {
                used.push(("default", path.to_owned()));
                let number = defaults::parse(text).map_err(|problem| {
                    Box::new(Tried::asks(path, problem, vec![Choice::Default(path.to_owned(), "0".to_owned())]))
                })?;
                numbers.extend(retired.iter().map(|(_, old)| (*old as u64, number as u64)));
                acts.push(Act::Retired(names, Some(text.clone())));
            } else if self.answers.cast.get(path) == Some(&Cast::Truncate) {
                used.push(("cast", path.to_owned()));
                acts.push(Act::Retired(names, None));
            } else {
                let what = format!(
                    "{} of `{path}` {} gone: what becomes of entries that hold it?",
                    names.join(", "),
                    if names.len() == 1 { "is" } else { "are" }
                );
                let number = Choice::Open("default", format!("{path}=N"));
                let choices = vec![number, Choice::Cast(path.to_owned(), Cast::Truncate)];
                return Err(Box::new(Tried::asks(path, what, choices)));
            }
        }
        if numbers.len() > MAX_NUMBERS {
            let what = format!("{} enumerators of `{path}` have other numbers, over {MAX_NUMBERS}", numbers.len());
            return Err(Box::new(Tried::asks(path, what, vec![Choice::ByHand])));
        }
        Ok(numbers.into_iter().collect())
    }

    /// True for the same bytes in groups of another size, unless the epoch says what becomes of their elements.
    fn is_regrouped(&self, (old, was): (&Leaf<'_>, &Layout), (new, is): (&Leaf<'_>, &Layout)) -> bool {
        let Answers { drop, cast, scale, .. } = self.answers;
        let paths = drop.iter().chain(cast.keys()).chain(scale.keys());
        let is_of_elements = |path: &String| {
            let rest = path.strip_prefix(&old.path).or_else(|| path.strip_prefix(&new.path));
            rest.is_some_and(|rest| rest.starts_with("[]"))
        };
        let are_structs = was.composite().is_some() && is.composite().is_some();
        let other_size = was.size != is.size && old.len() == new.len() && old.len() > 0;
        other_size && !are_structs && !paths.into_iter().any(is_of_elements)
    }

    fn array(
        &self,
        old: &Leaf<'_>,
        new: &Leaf<'_>,
        (was, m): (&Layout, u32),
        (is, n): (&Layout, u32),
        mut acts: Vec<Act>,
    ) -> Tried {
        let elements = (format!("{}[]", old.path), format!("{}[]", new.path));
        let mut tried = Tried::default();
        let is_dropped = self.answers.drop.contains(&elements.0);
        if self.is_regrouped((old, was), (new, is)) {
            let (path, was, is) = (&new.path, old.spelling(), new.spelling());
            let what = format!("`{path}` was {was}, and is the same bytes as {is}: are they right as they are?");
            let same_bytes = Choice::Rename(path.clone(), old.path.clone());
            return Tried::asks(path, what, self.choices(old, &[same_bytes, Choice::ByHand]));
        }
        if n < m {
            if is_dropped {
                tried.used.push(("drop", elements.0.clone()));
            } else if !self.given_up.borrow().contains(&elements.0) {
                let what = format!("`{}` shrank from {m} to {n} elements: are the last to be given up?", new.path);
                return Tried::asks(&elements.0, what, vec![Choice::Drop(elements.0.clone()), Choice::ByHand]);
            }
            acts.push(Act::Shortened(m, n));
        } else if n > m {
            acts.push(Act::Lengthened(m, n));
        }
        let inner = self.layouts((was, &elements.0), (is, &elements.1));
        let (Ok(from_stride), Ok(to_stride)) = (u32::try_from(was.size), u32::try_from(is.size)) else {
            return Tried::asks(&new.path, format!("`{}` is too large", new.path), vec![Choice::ByHand]);
        };
        let mut steps = inner.steps.clone();
        // Padding in an element that is as it was is nobody's to drop.
        let acts_on_it = inner.plans.iter().any(|plan| plan.acts.iter().any(|act| !matches!(act, Act::Reread(..))));
        let is_kept = is_same(was, is) && inner.is_lossless() && !acts_on_it && kernel_field::any(is).is_none();
        if is_kept && to_stride > 0 {
            steps = vec![Step::Copy { from: 0, to: 0, len: to_stride }];
        }
        let lossless = n >= m && inner.is_lossless();
        if !is_kept {
            acts.push(Act::Elements);
        }
        let (from, to) = (old.byte(), new.byte());
        let step = Step::Repeat { from, from_stride, to, to_stride, count: m.min(n), steps };
        let mut own = done(old, new, Some(step), acts, lossless);
        tried.take(Tried { steps: std::mem::take(&mut own.steps), ..own });
        tried.questions.extend(inner.questions);
        tried.used.extend(inner.used);
        if !is_kept {
            tried.lost = inner.lost;
            tried.plans.extend(inner.plans);
        }
        tried
    }
}

/// A member that was derived.
fn done(old: &Leaf<'_>, new: &Leaf<'_>, step: Option<Step>, acts: Vec<Act>, lossless: bool) -> Tried {
    let (was, is) = (Some(old.path.clone()), Some(new.path.clone()));
    let plan = MemberPlan { old: was, new: is, acts, lossless, bent: Vec::new() };
    Tried { steps: step.into_iter().collect(), plans: vec![plan], ..Tried::default() }
}

fn copy(old: &Leaf<'_>, new: &Leaf<'_>, skip_old: u32, skip_new: u32, len: u32) -> Option<Step> {
    (len > 0).then(|| Step::Copy { from: old.byte() + skip_old, to: new.byte() + skip_new, len })
}
