//! How entries of one map become those of another.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use maplock_layout::Digest;
use maplock_layout::conversion::{Collide, Conversion, DerivedLeg, Leg, Step, Steps};

use crate::transfer::migrate::{ByHand, MigrateError, Migrations};

/// How entries of one map become those of another: one leg behind the other.
#[derive(Debug, Clone)]
pub struct Way {
    legs: Vec<WayLeg>,
    /// What becomes of entries whose keys become one, if that can be.
    collide: Option<Collide>,
}

/// The way over one epoch.
#[derive(Clone)]
enum WayLeg {
    Derived(DerivedLeg),
    ByHand(Arc<ByHand>),
}

impl fmt::Debug for WayLeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Derived(leg) => f.debug_tuple("Derived").field(leg).finish(),
            Self::ByHand(_) => f.write_str("ByHand"),
        }
    }
}

/// A conversion that is written by hand, in a program that does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchCode {
    /// Digest of the definition that it leaves.
    pub from: Digest,
    /// Digest of the definition that it leads to.
    pub to: Digest,
}

impl fmt::Display for NoSuchCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the conversion from {} to {} is written by hand, and this program does not have it: only the daemon that brings it can \
             convert these entries",
            self.from.short(),
            self.to.short()
        )
    }
}

impl std::error::Error for NoSuchCode {}

impl Way {
    /// The way that a conversion goes, with the code for what is written by hand. Keys of `key_size` bytes and values of
    /// `value_size` that no leg changes stay as they are.
    ///
    /// # Errors
    /// If a conversion by hand is not among `migrations`.
    pub fn new(
        conversion: &Conversion,
        migrations: &Migrations,
        key_size: u32,
        value_size: u32,
    ) -> Result<Self, NoSuchCode> {
        let code = |from, to| migrations.get(from, to).cloned().ok_or(NoSuchCode { from, to });
        Self::with(conversion, code, key_size, value_size)
    }

    /// The same, of which nothing but its kind counts: what is written by hand makes nothing of any entry.
    #[must_use]
    pub fn for_probe(conversion: &Conversion, key_size: u32, value_size: u32) -> Self {
        let nothing: Arc<ByHand> = Arc::new(|_, _, _| Ok(()));
        match Self::with(conversion, |_, _| Ok::<_, Infallible>(Arc::clone(&nothing)), key_size, value_size) {
            Ok(way) => way,
            Err(never) => match never {},
        }
    }

    fn with<E>(
        conversion: &Conversion,
        code: impl Fn(Digest, Digest) -> Result<Arc<ByHand>, E>,
        key_size: u32,
        value_size: u32,
    ) -> Result<Self, E> {
        let leg = |leg: &Leg| match leg {
            Leg::Derived(leg) => Ok(WayLeg::Derived(leg.clone())),
            Leg::ByHand { from, to } => code(*from, *to).map(WayLeg::ByHand),
        };
        let mut legs = conversion.legs.iter().map(leg).collect::<Result<Vec<_>, _>>()?;
        if legs.is_empty() {
            let leg = DerivedLeg { key: same(key_size), value: same(value_size), collide: None, keeps_key: true };
            legs.push(WayLeg::Derived(leg));
        }
        Ok(Self { legs, collide: conversion.collide() })
    }

    /// Its legs, if all of it is derived.
    pub(super) fn derived_legs(&self) -> Option<Vec<&DerivedLeg>> {
        let mut legs = Vec::with_capacity(self.legs.len());
        for leg in &self.legs {
            match leg {
                WayLeg::Derived(leg) => legs.push(leg),
                WayLeg::ByHand(_) => return None,
            }
        }
        Some(legs)
    }

    /// True if each entry has the key that it had.
    pub(super) fn keeps_keys(&self) -> bool {
        self.derived_legs().is_some_and(|legs| legs.iter().all(|leg| is_same(&leg.key)))
    }

    /// What becomes of entries whose keys become one, if that can be.
    pub(super) fn collide(&self) -> Option<Collide> {
        self.collide
    }

    /// True if entries whose keys become one are put together. Elsewhere none do, or the upgrade does not happen.
    pub(super) fn may_meet(&self) -> bool {
        matches!(self.collide, Some(Collide::Sum | Collide::KeepOne))
    }

    /// Converts an entry, into as many as it becomes.
    ///
    /// # Errors
    /// What the code says; a number that does not fit.
    pub fn convert(&self, key: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), MigrateError> {
        convert(&self.legs, key, value, insert)
    }
}

fn convert(
    legs: &[WayLeg],
    key: &[u8],
    value: &[u8],
    insert: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), MigrateError> {
    let Some((leg, rest)) = legs.split_first() else {
        insert(key, value);
        return Ok(());
    };
    match leg {
        WayLeg::Derived(leg) => convert(rest, &leg.key.convert(key)?, &leg.value.convert(value)?, insert),
        WayLeg::ByHand(code) => {
            let mut failed = Ok(());
            code(key, value, &mut |key, value| {
                if failed.is_ok() {
                    failed = convert(rest, key, value, insert);
                }
            })?;
            failed
        }
    }
}

/// True if bytes become the same bytes.
pub(super) fn is_same(steps: &Steps) -> bool {
    steps.from_size == steps.to_size
        && matches!(steps.steps.as_slice(), [Step::Copy { from: 0, to: 0, len }] if *len == steps.to_size)
}

/// Bytes that stay as they are.
fn same(size: u32) -> Steps {
    Steps { from_size: size, to_size: size, steps: vec![Step::Copy { from: 0, to: 0, len: size }] }
}
