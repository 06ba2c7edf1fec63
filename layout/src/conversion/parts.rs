//! Bytes that are carried as they are, whatever they are called and whatever shape they have on either side.

use std::collections::HashMap;
use std::ops::Range;

use super::members::{Leaf, Scope, is_padding};
use crate::kernel_field;
use crate::layout::{CompositeKind, Layout};

/// A member, a struct, or an arm of a union: whole bytes.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    pub(super) path: String,
    pub(super) offset_bits: u64,
    pub(super) layout: &'a Layout,
    /// The members that it has, or is a part of.
    pub(super) leaves: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Member,
    Struct,
    Arm,
}

/// The parts of a key or value, by path and by place.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    all: Vec<Part<'a>>,
    by_path: HashMap<String, Vec<usize>>,
    by_place: HashMap<(u64, u64), Vec<usize>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(scope: &Scope<'a>) -> Self {
        let mut parts = Self::default();
        for (index, leaf) in scope.leaves.iter().enumerate().filter(|(_, leaf)| leaf.bits.is_none()) {
            parts.add(Part {
                path: leaf.path.clone(),
                offset_bits: leaf.offset_bits,
                layout: leaf.layout,
                leaves: index..index + 1,
                kind: Kind::Member,
            });
        }
        for node in &scope.structs {
            let (path, leaves) = (node.path.clone(), node.leaves.clone());
            parts.add(Part { path, offset_bits: node.offset_bits, layout: node.layout, leaves, kind: Kind::Struct });
        }
        for (index, leaf) in scope.leaves.iter().enumerate() {
            parts.arms(index, leaf);
        }
        parts
    }

    fn arms(&mut self, index: usize, leaf: &Leaf<'a>) {
        let Some(union) = leaf.layout.composite().filter(|of| of.kind() == CompositeKind::Union) else { return };
        for (at, flat) in union.flat_members().into_iter().enumerate().filter(|(_, flat)| flat.member.bits.is_none()) {
            let path = leaf.arms.get(at).cloned();
            self.add(Part {
                path: path.unwrap_or_else(|| format!("{}.{}", leaf.path, flat.member.name)),
                offset_bits: leaf.offset_bits + flat.offset_bits,
                layout: &flat.member.layout,
                leaves: index..index + 1,
                kind: Kind::Arm,
            });
        }
    }

    fn add(&mut self, part: Part<'a>) {
        if part.layout.size == 0 || !part.offset_bits.is_multiple_of(8) || kernel_field::any(part.layout).is_some() {
            return;
        }
        let at = self.all.len();
        self.by_path.entry(part.path.clone()).or_default().push(at);
        self.by_place.entry((part.offset_bits, part.layout.size)).or_default().push(at);
        self.all.push(part);
    }

    /// Those of that path: a union without a name has that of its first arm.
    pub(super) fn at_path(&self, path: &str) -> impl Iterator<Item = &Part<'a>> {
        self.by_path.get(path).into_iter().flatten().map(|at| &self.all[*at])
    }

    fn at_place(&self, place: (u64, u64)) -> impl Iterator<Item = &Part<'a>> {
        self.by_place.get(&place).into_iter().flatten().map(|at| &self.all[*at])
    }

    /// The part that has all bytes of `old`: at its place, or under its path. All of its members are to be `free`.
    pub(super) fn with_bytes_of(&self, old: &Part<'_>, path: &str, free: impl Fn(usize) -> bool) -> Option<&Part<'a>> {
        let size = old.layout.size;
        let is_free = |part: &&Part<'a>| part.leaves.clone().all(&free) && !is_padding(&part.path);
        let here = self.at_place((old.offset_bits, size)).filter(is_free);
        let elsewhere = self.at_path(path).filter(|part| part.layout.size == size).filter(is_free);
        // What is spelled as it was is rather meant than what is not, and a member than an arm.
        here.min_by_key(|part| (part.layout.spelling() != old.layout.spelling(), part.kind))
            .or_else(|| elsewhere.min_by_key(|part| part.kind))
    }
}

impl Part<'_> {
    /// Its bits, from the first to behind the last.
    pub(super) fn bits(&self) -> (u64, u64) {
        (self.offset_bits, self.offset_bits + self.layout.size * 8)
    }
}

/// The last names in two paths are like each other: `saddr` and `saddr4`, `uid` and `uid_gid`.
pub(super) fn is_like(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(str::to_ascii_lowercase);
    let within = |short: &str, long: &str| short.len() >= 3 && long.contains(short);
    within(&one, &other) || within(&other, &one) || crate::rules::nearest(&one, [other.as_str()]).is_some()
}
