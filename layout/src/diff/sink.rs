//! Collects the findings of one map, as many as anybody reads.

use crate::change::{Change, Subject};
use crate::config::Levels;
use crate::finding::Finding;
use crate::rules::{Level, Rule};

/// Most findings of one map that are kept: of those that are denied, and as many of the others. A struct used in a hundred
/// places reports its change in each of them; beyond this, nobody reads on.
const MAX_FINDINGS: usize = 1000;

/// Most that are looked at. Only hostile input has as many, and it could have 2^64.
pub(super) const MAX_SEEN: usize = 100_000;

/// Collects the findings of one map.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) map: &'a str,
    levels: Option<&'a Levels>,
    pub(super) findings: Vec<Finding>,
    /// How many are kept that are denied, and that are not.
    pub(super) kept: [usize; 2],
    /// How many there were.
    pub(super) seen: usize,
}

impl<'a> Sink<'a> {
    pub(super) fn new(map: &'a str, levels: &'a Levels) -> Self {
        Self { map, levels: Some(levels), findings: Vec::new(), kept: [0; 2], seen: 0 }
    }

    /// For a comparison of which only the outcome counts.
    pub(super) fn scratch() -> Self {
        Self { map: "", levels: None, findings: Vec::new(), kept: [0; 2], seen: 0 }
    }

    /// The level of a rule here.
    pub(super) fn level(&self, rule: &Rule) -> Level {
        self.levels.map_or(rule.default_level, |levels| levels.of(rule))
    }

    pub(super) fn is_scratch(&self) -> bool {
        self.levels.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.findings.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.kept[1] >= MAX_FINDINGS || self.seen >= MAX_SEEN
    }

    pub(super) fn since(&self, start: usize) -> std::slice::Iter<'_, Finding> {
        self.findings[start.min(self.len())..].iter()
    }

    /// Sorts the findings from `start` on by `order`, their offsets; equal ones stay as they are.
    pub(super) fn sort_since(&mut self, start: usize, order: &[u64]) {
        let tail = self.findings.split_off(start.min(self.len()));
        let mut tail: Vec<_> = tail.into_iter().zip(order).collect();
        tail.sort_by_key(|(_, offset)| **offset);
        self.findings.extend(tail.into_iter().map(|(finding, _)| finding));
    }

    pub(super) fn add(&mut self, rule: &'static Rule, subject: Subject, change: Change) {
        self.add_consequence(rule, subject, change, None);
    }

    pub(super) fn add_consequence(
        &mut self,
        rule: &'static Rule,
        subject: Subject,
        change: Change,
        consequence_of: Option<Subject>,
    ) {
        let level = self.level(rule);
        let kept = &mut self.kept[usize::from(level == Level::Deny)];
        self.seen += 1;
        if *kept >= MAX_FINDINGS {
            return;
        }
        *kept += 1;
        let map = self.map.to_owned();
        self.findings.push(Finding { rule, level, map, subject, change, consequence_of, accepted: None });
    }
}
