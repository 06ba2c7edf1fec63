//! Findings inside a key or a value.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ptr;

use super::at::{At, Role, Trail};
use super::causes::{Causes, longest_increasing};
use super::empty::compare_empty;
use super::enumerators::compare_enumerators;
use super::sink::Sink;
use crate::change::{Change, Subject, Typed};
use crate::config::Levels;
use crate::digest::Digester;
use crate::finding::Finding;
use crate::kernel_field;
use crate::layout::{Composite, FlatMember, IntKind, Layout, Shape};
use crate::place::Place;
use crate::rules::{self, Rule, Tier};

/// Compares layouts, remembering which composites it has found to be the same.
#[derive(Debug, Default)]
pub(super) struct LayoutDiff {
    digester: Digester,
    same: HashSet<(*const Composite, *const Composite)>,
    /// Pairs that were compared to see whether a member was renamed: true if bytes differ.
    differ: HashMap<(*const Composite, *const Composite), bool>,
}

impl LayoutDiff {
    /// Reports how `new` differs from `old`.
    pub(super) fn compare(&mut self, old: &Layout, new: &Layout, at: At<'_>, sink: &mut Sink<'_>) {
        if sink.is_full() {
            return;
        }
        let before = sink.len();
        self.compare_shapes(old, new, at, sink);
        if sink.len() == before && !sink.is_full() {
            // The same typedef may stand for an enum here and for an integer there.
            let behind = (old.spelling_without_typedef(), new.spelling_without_typedef());
            let renamed_behind = behind.0 != behind.1 && !is_element_spelling(&behind.0, &behind.1);
            if old.typedef != new.typedef || renamed_behind {
                let (old, new) = distinct_spellings(old, new);
                sink.add(&rules::TYPE_SPELLING_CHANGED, at.trail.subject(), Change::Spelling { old, new });
            }
        }
    }

    fn compare_shapes(&mut self, old: &Layout, new: &Layout, at: At<'_>, sink: &mut Sink<'_>) {
        match (&old.shape, &new.shape) {
            (Shape::Composite(a), Shape::Composite(b)) => {
                if a.kernel_name() != b.kernel_name() {
                    return type_changed(old, new, at, sink);
                }
                let pair = (ptr::from_ref(a.as_ref()), ptr::from_ref(b.as_ref()));
                if self.same.contains(&pair) {
                    return;
                }
                if sink.is_scratch() {
                    let differ = match self.differ.get(&pair) {
                        Some(differ) => *differ,
                        None => {
                            let mut scratch = Sink::scratch();
                            self.compare_members(a, b, at, &mut scratch);
                            let differ = scratch.since(0).any(is_of_bytes);
                            self.differ.insert(pair, differ);
                            differ
                        }
                    };
                    if differ {
                        // Only that there is something is looked at.
                        sink.add(at.role.type_changed(), Subject::MAP, Change::TooMuch { looked_at: 0 });
                    }
                    return;
                }
                let start = sink.len();
                if let Some((was, is)) = versions(a, b) {
                    new_meaning(was, is, new, at, sink);
                }
                let before = sink.len();
                self.compare_members(a, b, at, sink);
                if at.role == Role::Inside && old.size != new.size && !sink.since(before).any(is_of_bytes) {
                    let change = Change::Size { old: old.size, new: new.size };
                    sink.add(&rules::PADDING_CHANGED, at.trail.subject(), change);
                }
                if sink.len() == start && a.name() == b.name() && old.size == new.size {
                    self.same.insert(pair);
                }
            }
            (Shape::Array { element: a, len: old_len }, Shape::Array { element: b, len: new_len }) => {
                if old_len != new_len {
                    let old = (*old_len, typed(old.spelling(), at.old_bits, old.size * 8));
                    let new = (*new_len, typed(new.spelling(), at.new_bits, new.size * 8));
                    sink.add(&rules::ARRAY_LENGTH_CHANGED, at.trail.subject(), Change::Length { old, new });
                }
                let before = sink.len();
                let trail = Trail::Element(&at.trail);
                let role = if *old_len.min(new_len) > 1 { Role::Element } else { Role::Inside };
                self.compare(a, b, At { trail, role, ..at }, sink);
                if a.size != b.size && role == Role::Element && !sink.since(before).any(is_of_bytes) {
                    let change = Change::Stride { old: a.size, new: b.size };
                    sink.add(&rules::ARRAY_STRIDE_CHANGED, trail.subject(), change);
                }
            }
            _ => self.compare_scalars((old, old.size * 8), (new, new.size * 8), at, sink),
        }
    }

    /// Compares what is not two composites or two arrays, each with its width in bits.
    fn compare_scalars(
        &mut self,
        (old, old_bits): (&Layout, u64),
        (new, new_bits): (&Layout, u64),
        at: At<'_>,
        sink: &mut Sink<'_>,
    ) {
        let changed = |rule, sink: &mut Sink<'_>| {
            let (from, to) = distinct_spellings(old, new);
            let change = Change::Retyped {
                old: typed(from, at.old_bits, old_bits),
                new: typed(to, at.new_bits, new_bits),
                are_numbers: is_number(old) && is_number(new),
            };
            sink.add(rule, at.trail.subject(), change);
        };
        if old_bits != new_bits {
            return changed(at.role.type_changed(), sink);
        }
        match (&old.shape, &new.shape) {
            (Shape::Int(a), Shape::Int(b)) => match (sign(*a), sign(*b)) {
                // `char` is a byte of text, and both kinds of byte in turn.
                _ if a == b || *a == IntKind::Char && *b != IntKind::Bool => {}
                _ if *b == IntKind::Char && *a != IntKind::Bool => {}
                (Some(_), Some(_)) => changed(&rules::SIGNEDNESS_CHANGED, sink),
                _ => changed(&rules::SCALAR_KIND_CHANGED, sink),
            },
            (Shape::Enum(a), Shape::Enum(b)) => compare_enumerators(a, b, old.size.max(new.size), at, sink),
            // The numbers are the same; only their names came or went.
            (Shape::Enum(_), Shape::Int(kind)) | (Shape::Int(kind), Shape::Enum(_)) if *kind != IntKind::Bool => {}
            (Shape::Pointer { target: a }, Shape::Pointer { target: b })
                if kernel_field::tag(a) != kernel_field::tag(b) =>
            {
                changed(&rules::SCALAR_KIND_CHANGED, sink);
            }
            (Shape::Float, Shape::Float)
            | (Shape::Pointer { .. }, Shape::Pointer { .. })
            | (Shape::Opaque { .. }, Shape::Opaque { .. }) => {}
            (a, b) if is_scalar(a) && is_scalar(b) => changed(&rules::SCALAR_KIND_CHANGED, sink),
            (Shape::Composite(wrapper), _) if self.wraps(wrapper, new) => {
                if wrapper.version() != 0 {
                    new_meaning(wrapper.version(), 0, new, at, sink);
                }
            }
            (_, Shape::Composite(wrapper)) if self.wraps(wrapper, old) => {
                if wrapper.version() != 0 {
                    new_meaning(0, wrapper.version(), new, at, sink);
                }
            }
            _ => changed(at.role.type_changed(), sink),
        }
    }

    /// True if a composite is another name for the same bytes: a struct whose one member is `inner`, or a union of
    /// which one arm is `inner` and no arm is smaller. `struct in6_addr` is both, around 16 bytes.
    fn wraps(&mut self, wrapper: &Composite, inner: &Layout) -> bool {
        let mut members = wrapper.flat_members();
        members.retain(|flat| flat.member.size_bits() > 0);
        if wrapper.kernel_name().is_some() || !wrapper.inner_versions().is_empty() {
            return false;
        }
        let same_size = members.iter().all(|flat| flat.offset_bits == 0 && flat.member.size_bits() == inner.size * 8);
        if members.is_empty() || !same_size {
            return false;
        }
        let wanted = self.digester.layout(inner);
        members.iter().any(|flat| {
            let layout = &flat.member.layout;
            flat.member.bits.is_none()
                && (self.digester.layout(layout) == wanted
                    || members.len() == 1
                        && layout.composite().is_some_and(|nested| nested.version() == 0 && self.wraps(nested, inner)))
        })
    }

    fn compare_members(&mut self, old: &Composite, new: &Composite, at: At<'_>, sink: &mut Sink<'_>) {
        let (mut old, mut new) = (old.flat_members(), new.flat_members());
        let start = sink.len();
        let mut order = compare_empty(&mut old, &mut new, at, sink);
        let pairs = self.pair_members(&old, &new);

        // What each pair says of itself, and which pairs changed in size and so pushed others along.
        let mut causes = Causes::default();
        for flat in unpaired(&old, pairs.iter().map(|pair| pair.old)) {
            let rule = if flat.in_union { &rules::UNION_ARM_REMOVED } else { &rules::MEMBER_REMOVED };
            let subject = Trail::Member(&at.trail, &flat.member.name).subject();
            let old = Typed { spelling: flat.member.spelling(), place: member_place(at.old_bits, flat) };
            sink.add(rule, subject.clone(), Change::Removed { old, in_union: flat.in_union });
            order.resize(sink.len() - start, flat.offset_bits);
            causes.removed(flat.offset_bits, subject);
        }
        for flat in unpaired(&new, pairs.iter().map(|pair| pair.new)) {
            let rule = if flat.in_union { &rules::UNION_ARM_ADDED } else { &rules::MEMBER_ADDED };
            let subject = Trail::Member(&at.trail, &flat.member.name).subject();
            let new = Typed { spelling: flat.member.spelling(), place: member_place(at.new_bits, flat) };
            sink.add(rule, subject.clone(), Change::Added { new, in_union: flat.in_union });
            order.resize(sink.len() - start, flat.offset_bits);
            causes.added(flat.offset_bits, subject);
        }
        // The first change inside of each pair.
        let mut changes = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            let (a, b) = (old[pair.old], new[pair.new]);
            let here = At {
                trail: Trail::Member(&at.trail, &b.member.name),
                role: Role::Inside,
                old_bits: at.old_bits + a.offset_bits,
                new_bits: at.new_bits + b.offset_bits,
            };
            let before = sink.len();
            if pair.renamed {
                let old = (a.member.name.to_string(), member_place(at.old_bits, a));
                let new = (b.member.name.to_string(), member_place(at.new_bits, b));
                sink.add(&rules::MEMBER_RENAMED, here.trail.subject(), Change::Renamed { old, new });
            }
            self.compare_member(a, b, here, sink);
            let own = sink.since(before).find(|finding| is_primary(finding)).map(|finding| finding.subject.clone());
            if let Some(own) = own.as_ref().filter(|_| a.member.size_bits() != b.member.size_bits()) {
                causes.resized(a.offset_bits, b.offset_bits, own.clone());
            }
            order.resize(sink.len() - start, b.offset_bits);
            changes.push(own);
        }

        // Who moved, and whether another member's change explains it.
        let in_order = longest_increasing(&pairs.iter().map(|pair| new[pair.new].offset_bits).collect::<Vec<_>>());
        for (pair, _) in pairs.iter().zip(&in_order).filter(|(_, in_order)| !**in_order) {
            let (a, b) = (old[pair.old].offset_bits, new[pair.new].offset_bits);
            if a != b {
                causes.resized(a, b, Trail::Member(&at.trail, &new[pair.new].member.name).subject());
            }
        }
        for (index, pair) in pairs.iter().enumerate() {
            let (a, b) = (old[pair.old], new[pair.new]);
            if a.offset_bits == b.offset_bits {
                continue;
            }
            let subject = Trail::Member(&at.trail, &b.member.name).subject();
            // Its own change says "and moved".
            if changes[index].as_ref() == Some(&subject) {
                continue;
            }
            // What changed inside of a struct may move it too, by its alignment.
            let pushed = || causes.before(a.offset_bits, b.offset_bits).filter(|_| in_order[index]).cloned();
            let cause = changes[index].clone().or_else(pushed).filter(|_| in_order[index]);
            let is_primary = cause.is_none();
            let (old, new) = (member_place(at.old_bits, a), member_place(at.new_bits, b));
            sink.add_consequence(&rules::MEMBER_MOVED, subject.clone(), Change::Moved { old, new }, cause);
            order.resize(sink.len() - start, b.offset_bits);
            if is_primary {
                causes.resized(a.offset_bits, b.offset_bits, subject);
            }
        }
        sink.sort_since(start, &order);
    }

    fn compare_member(&mut self, a: FlatMember<'_>, b: FlatMember<'_>, at: At<'_>, sink: &mut Sink<'_>) {
        if a.member.bits.is_none() && b.member.bits.is_none() {
            return self.compare(&a.member.layout, &b.member.layout, at, sink);
        }
        let (old_bits, new_bits) = (a.member.size_bits(), b.member.size_bits());
        if old_bits != new_bits {
            let old = typed(a.member.spelling(), at.old_bits, old_bits);
            let new = typed(b.member.spelling(), at.new_bits, new_bits);
            return sink.add(&rules::BIT_WIDTH_CHANGED, at.trail.subject(), Change::Width { old, new });
        }
        let before = sink.len();
        self.compare_scalars((&a.member.layout, old_bits), (&b.member.layout, new_bits), at, sink);
        let (old, new) = (a.member.spelling(), b.member.spelling());
        if sink.len() == before && !sink.is_full() && old != new {
            sink.add(&rules::TYPE_SPELLING_CHANGED, at.trail.subject(), Change::Spelling { old, new });
        }
    }

    /// Pairs members by name, then those left over on both sides that hold the same bytes: renamed ones.
    /// In the order of the old offsets.
    fn pair_members(&mut self, old: &[FlatMember<'_>], new: &[FlatMember<'_>]) -> Vec<Pair> {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, flat) in new.iter().enumerate().rev() {
            by_name.entry(&flat.member.name).or_default().push(index);
        }
        let mut pairs = Vec::with_capacity(old.len());
        let mut left = Vec::new();
        for (index, flat) in old.iter().enumerate() {
            match by_name.get_mut(&*flat.member.name).and_then(Vec::pop) {
                Some(new) => pairs.push(Pair { old: index, new, renamed: false }),
                None => left.push(index),
            }
        }
        let mut by_place: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
        for index in by_name.into_values().flatten() {
            let flat = &new[index];
            by_place.entry((flat.offset_bits, flat.member.size_bits())).or_default().push(index);
        }
        for old_index in left {
            let a = old[old_index];
            let Some(candidates) = by_place.get_mut(&(a.offset_bits, a.member.size_bits())) else { continue };
            candidates.sort_unstable();
            // Arms of a union may all have one place; a few of them are enough to look at.
            let found = candidates.iter().take(16).position(|&candidate| {
                let mut scratch = Sink::scratch();
                let at = At { trail: Trail::Whole(&Subject::MAP), role: Role::Inside, old_bits: 0, new_bits: 0 };
                self.compare_member(a, new[candidate], at, &mut scratch);
                !scratch.since(0).any(is_of_bytes)
            });
            if let Some(found) = found {
                pairs.push(Pair { old: old_index, new: candidates.remove(found), renamed: true });
            }
        }
        pairs.sort_by_key(|pair| (old[pair.old].offset_bits, new[pair.new].offset_bits));
        pairs
    }
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    old: usize,
    new: usize,
    renamed: bool,
}

/// The rules that tell two layouts apart.
pub(crate) fn rules_between(old: &Layout, new: &Layout) -> Vec<&'static Rule> {
    between(old, new).iter().map(|finding| finding.rule).collect()
}

/// What means something else in another version, within a key or value.
pub(crate) fn meanings_between(old: &Layout, new: &Layout) -> Vec<Finding> {
    let mut findings = between(old, new);
    findings.retain(|finding| finding.rule == &rules::MEANING_CHANGED);
    findings
}

fn between(old: &Layout, new: &Layout) -> Vec<Finding> {
    let levels = Levels::default();
    let mut sink = Sink::new("", &levels);
    LayoutDiff::default().compare(
        old,
        new,
        At { trail: Trail::Whole(&Subject::MAP), role: Role::Inside, old_bits: 0, new_bits: 0 },
        &mut sink,
    );
    sink.findings
}

/// The versions of two structs, if these differ: their own, or else the first of those within them that do.
fn versions(old: &Composite, new: &Composite) -> Option<(u32, u32)> {
    if old.version() != new.version() {
        return Some((old.version(), new.version()));
    }
    let (old, new) = (old.inner_versions(), new.inner_versions());
    let of = |versions: &[u32], at: usize| versions.get(at).copied().unwrap_or_default();
    (0..old.len().max(new.len())).map(|at| (of(old, at), of(new, at))).find(|(old, new)| old != new)
}

fn new_meaning(old: u32, new: u32, layout: &Layout, at: At<'_>, sink: &mut Sink<'_>) {
    let change = Change::Meaning { old, new, of: Some(layout.spelling()) };
    sink.add(&rules::MEANING_CHANGED, at.trail.subject(), change);
}

/// Reports that one struct is another, which only the kernel tells apart.
fn type_changed(old: &Layout, new: &Layout, at: At<'_>, sink: &mut Sink<'_>) {
    let (from, to) = distinct_spellings(old, new);
    let old = typed(from, at.old_bits, old.size * 8);
    let new = typed(to, at.new_bits, new.size * 8);
    sink.add(at.role.type_changed(), at.trail.subject(), Change::Retyped { old, new, are_numbers: false });
}

fn sign(kind: IntKind) -> Option<bool> {
    match kind {
        IntKind::Signed => Some(true),
        IntKind::Unsigned | IntKind::Char => Some(false),
        IntKind::Bool => None,
    }
}

fn is_scalar(shape: &Shape) -> bool {
    matches!(shape, Shape::Int(_) | Shape::Float | Shape::Enum(_) | Shape::Pointer { .. })
}

fn is_number(layout: &Layout) -> bool {
    matches!(layout.shape, Shape::Int(_) | Shape::Float | Shape::Enum(_))
}

/// True if two spellings differ only below an array, whose element's own finding says so.
fn is_element_spelling(old: &str, new: &str) -> bool {
    old.ends_with(']') && new.ends_with(']')
}

/// True for a change of bytes that no other change brought about.
fn is_primary(finding: &Finding) -> bool {
    is_of_bytes(finding) && finding.consequence_of.is_none()
}

fn is_of_bytes(finding: &Finding) -> bool {
    finding.rule.tier == Tier::Bytes
}

/// Both types as text; by what is behind their typedefs if the names alone would look the same.
fn distinct_spellings(old: &Layout, new: &Layout) -> (String, String) {
    let spelled = (old.spelling(), new.spelling());
    if spelled.0 != spelled.1 {
        return spelled;
    }
    let behind = (old.spelling_without_typedef(), new.spelling_without_typedef());
    if behind.0 != behind.1 {
        return (format!("{} ({})", spelled.0, behind.0), format!("{} ({})", spelled.1, behind.1));
    }
    (format!("{} of {} bytes", spelled.0, old.size), format!("{} of {} bytes", spelled.1, new.size))
}

const fn typed(spelling: String, offset_bits: u64, size_bits: u64) -> Typed {
    Typed { spelling, place: place(offset_bits, size_bits) }
}

const fn place(offset_bits: u64, size_bits: u64) -> Place {
    Place { offset_bits, size_bits }
}

fn member_place(base: u64, flat: FlatMember<'_>) -> Place {
    place(base + flat.offset_bits, flat.member.size_bits())
}

fn unpaired<'m>(all: &[FlatMember<'m>], paired: impl Iterator<Item = usize>) -> Vec<FlatMember<'m>> {
    let mut used = vec![false; all.len()];
    paired.for_each(|index| used[index] = true);
    all.iter().zip(used).filter(|(_, used)| !used).map(|(flat, _)| *flat).collect()
}
