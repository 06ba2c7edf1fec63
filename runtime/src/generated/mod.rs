//! What generated modules call. No part of it is for others.

mod trial;

use std::os::fd::AsFd;
use std::path::Path;

pub use trial::try_migrations;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Error;
use crate::handles::{Handle, Verified};
use crate::plan::spec::Spec;
use crate::upgrade::stage::Staged;

/// # Errors
/// As [`Verified::open`].
pub fn open<H: Handle>(spec: &Spec, name: &str, path: &Path) -> Result<H, Error> {
    H::from_verified(Verified::open(spec, name, path)?)
}

/// # Errors
/// As [`Verified::of_fd`].
pub fn of_fd<H: Handle>(spec: &Spec, name: &str, fd: impl AsFd) -> Result<H, Error> {
    H::from_verified(Verified::of_fd(spec, name, fd)?)
}

/// # Errors
/// As [`Verified::of_fd_unverified`].
pub fn of_fd_unverified<H: Handle>(spec: &Spec, name: &str, fd: impl AsFd) -> Result<H, Error> {
    H::from_verified(Verified::of_fd_unverified(spec, name, fd)?)
}

/// # Errors
/// As [`Verified::of_staged`].
pub fn of_staged<H: Handle>(spec: &Spec, name: &str, staged: &Staged) -> Result<H, Error> {
    H::from_verified(Verified::of_staged(spec, name, staged)?)
}

/// The first bytes of a union, as one of its arms.
#[must_use]
pub fn read_arm<T: FromBytes>(union: &(impl IntoBytes + Immutable)) -> T {
    // No arm is larger than its union.
    T::read_from_prefix(union.as_bytes()).map_or_else(|_| T::new_zeroed(), |(arm, _)| arm)
}

/// Writes an arm over the first bytes of a union.
pub fn write_arm(union: &mut (impl IntoBytes + FromBytes), arm: &(impl IntoBytes + Immutable)) {
    // No arm is larger than its union.
    _ = arm.write_to_prefix(union.as_mut_bytes());
}
