//! Keys and values as Rust types.

#[doc(hidden)]
pub mod derive;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A type of a map's key: all of its bytes are data, for the kernel hashes and compares a key as bytes.
///
/// Derive it, with zerocopy's traits beside it: the derive proves at compile time that the type is what `maps.lock` says.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to be a map's key",
    note = "derive it: `#[derive(maplock::MapKey, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]`"
)]
pub trait MapKey: FromBytes + IntoBytes + Immutable + 'static {}

/// A type of a map's value: any bytes are one, for programs may have written any.
///
/// Derive it, with zerocopy's traits beside it: the derive proves at compile time that the type is what `maps.lock` says.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to be a map's value",
    note = "derive it: `#[derive(maplock::MapValue, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]`"
)]
pub trait MapValue: FromBytes + IntoBytes + Immutable + 'static {}

macro_rules! plain {
    ($($of:ty)*) => {
        $(
            impl MapKey for $of {}
            impl MapValue for $of {}
        )*
    };
}

plain!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

impl<T: MapKey, const LEN: usize> MapKey for [T; LEN] {}
impl<T: MapValue, const LEN: usize> MapValue for [T; LEN] {}
