//! Queues and stacks, which have no keys.

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::error::{FULL, MapError};
use super::handle::handle;
use super::value::private::Bytes as _;
use super::verified::Verified;
use crate::entry::MapValue;
use crate::sys::consts::{BPF_ANY, BPF_EXIST};

/// A handle of a queue: what was pushed first is popped first.
pub struct Queue<V> {
    pub(super) map: Verified,
    of: PhantomData<fn() -> V>,
}

/// A handle of a stack: what was pushed last is popped first.
pub struct Stack<V> {
    pub(super) map: Verified,
    of: PhantomData<fn() -> V>,
}

handle!(Queue<V: MapValue>, Some(Kind::Queue), key: Some(0), value: Some((V::SIZE, false)));
handle!(Stack<V: MapValue>, Some(Kind::Stack), key: Some(0), value: Some((V::SIZE, false)));

macro_rules! operations {
    ($name:ident) => {
        impl<V> $name<V> {
            fn of(map: Verified) -> Self {
                Self { map, of: PhantomData }
            }
        }

        impl<V: MapValue> $name<V> {
            fn update(&self, value: &V, flags: u64) -> Result<(), MapError> {
                self.map.update(&[], value.as_bytes(), flags).map_err(|error| {
                    let is_full = error.raw_os_error() == Some(libc::E2BIG);
                    let error = MapError::new(self.name(), "push a value", error);
                    if is_full { error.hint(FULL) } else { error }
                })
            }

            /// Adds a value.
            ///
            /// # Errors
            /// E2BIG if the map is full ([`MapError::is_full`]).
            pub fn push(&self, value: impl Borrow<V>) -> Result<(), MapError> {
                self.update(value.borrow(), BPF_ANY)
            }

            /// Adds a value; if the map is full, the oldest one makes way.
            ///
            /// # Errors
            /// The kernel's.
            pub fn push_over(&self, value: impl Borrow<V>) -> Result<(), MapError> {
                self.update(value.borrow(), BPF_EXIST)
            }

            /// Takes the next value out.
            ///
            /// # Errors
            /// The kernel's.
            pub fn pop(&self) -> Result<Option<V>, MapError> {
                V::filled_by(self.map.value_bytes(), |value| self.map.take_into(&[], value))
                    .map_err(|error| MapError::new(self.name(), "pop a value", error))
            }

            /// The next value, which stays.
            ///
            /// # Errors
            /// The kernel's.
            pub fn peek(&self) -> Result<Option<V>, MapError> {
                V::filled_by(self.map.value_bytes(), |value| self.map.lookup_into(&[], value))
                    .map_err(|error| MapError::new(self.name(), "look at a value", error))
            }
        }
    };
}

operations!(Queue);
operations!(Stack);
