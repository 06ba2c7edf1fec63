//! A place in both layouts, and the way to it.

use crate::change::{Step, Subject};
use crate::rules::{self, Rule};

/// Whether a layout is a whole key, a whole value, or inside of one: the rule for "another type" differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Value,
    Inside,
    /// An element of an array of several.
    Element,
}

impl Role {
    pub(super) fn type_changed(self) -> &'static Rule {
        match self {
            Self::Key => &rules::KEY_TYPE_CHANGED,
            Self::Value => &rules::VALUE_TYPE_CHANGED,
            Self::Inside | Self::Element => &rules::MEMBER_TYPE_CHANGED,
        }
    }
}

/// One place in both layouts.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub trail: Trail<'a>,
    pub role: Role,
    pub old_bits: u64,
    pub new_bits: u64,
}

/// The way to a place, which becomes a subject if there is something to say of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trail<'a> {
    Whole(&'a Subject),
    Member(&'a Self, &'a str),
    Element(&'a Self),
}

impl Trail<'_> {
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Whole(subject) => (*subject).clone(),
            Self::Member(parent, name) => parent.subject().step(Step::Member((*name).to_owned())),
            Self::Element(array) => array.subject().step(Step::Element),
        }
    }
}
