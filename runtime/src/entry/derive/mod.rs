//! What the expansions of `#[derive(MapKey)]` and `#[derive(MapValue)]` call. No part of the interface.
//!
//! The derive knows what the lock says; the compiler knows the types. The checks here are evaluated as constants where both meet,
//! and fail with a text that has both sides in it.

mod check;
mod shape;
mod text;

pub use check::{arm, bits, end, enumerator, member, padding, size};
pub use shape::{Describe, Key, Order, Shape, Sign, Type, Value};

#[cfg(feature = "aya")]
pub use aya::Pod;
pub use zerocopy;
