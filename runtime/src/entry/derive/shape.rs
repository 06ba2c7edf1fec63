//! What a Rust type is made of, and what the lock says that it has to be.

use zerocopy::byteorder;

/// A type in the key of a map.
#[derive(Debug)]
pub enum Key {}

/// A type in the value of a map.
#[derive(Debug)]
pub enum Value {}

/// A type of which the checks know how it is laid out.
#[diagnostic::on_unimplemented(
    message = "the layout of `{Self}` is not known, so it can't be compared with `maps.lock`",
    note = "use an integer, an array, or a type of your own with the same derive: `#[derive(maplock::MapValue)]`, or \
            `#[derive(maplock::MapKey)]` in a key"
)]
pub trait Describe<Role> {
    /// Its layout.
    const SHAPE: Shape;
}

/// The layout of a Rust type.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Not to be judged: another error is there already, or the lock has nothing to say of it.
    Unknown,
    /// An integer, with the order of its bytes if its type fixes that.
    Int { size: usize, signed: bool, order: Order },
    /// A floating-point number.
    Float { size: usize },
    /// An array.
    Array { len: usize, size: usize, element: &'static Shape },
    /// A type that a derive holds against this layout of the lock.
    Named { name: &'static str, digest: u128 },
    /// An enum of Rust, which not any bytes are one of.
    Enum { name: &'static str, repr: &'static str },
}

/// A type of the lock.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// An integer, or what Rust holds in one: an enum, a pointer, a `bool`. Of an order of its own, it may also be held as bytes.
    Int { size: usize, sign: Sign, order: Order },
    /// A floating-point number.
    Float { size: usize },
    /// An array.
    Array { len: usize, element: &'static Type },
    /// A struct or union. Some may be held as bytes.
    Named { size: usize, digest: u128, may_be_bytes: bool },
    /// No type of Rust will do.
    Never,
}

/// Whether an integer of the lock has a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Unsigned,
    Signed,
    /// It is no number: both will do.
    Any,
}

/// The order of an integer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That of the machine, or of what the bytes came from: nothing says.
    Untold,
    /// The most significant first.
    Big,
    /// The least significant first.
    Little,
}

impl Order {
    /// False if both are told, and are not the same.
    const fn fits(self, other: Self) -> bool {
        !matches!((self, other), (Self::Big, Self::Little) | (Self::Little, Self::Big))
    }
}

impl Shape {
    /// Whether bytes of the type `other` are read rightly as this.
    pub(super) const fn is(&self, other: &Type) -> bool {
        match (self, other) {
            (Self::Unknown, _) => true,
            (Self::Int { size, signed, order }, Type::Int { size: wanted, sign, order: wanted_order }) => {
                *size == *wanted
                    && order.fits(*wanted_order)
                    && match sign {
                        Sign::Any => true,
                        Sign::Signed => *signed,
                        Sign::Unsigned => !*signed,
                    }
            }
            (Self::Float { size }, Type::Float { size: wanted }) => *size == *wanted,
            (Self::Array { len, element, .. }, Type::Array { len: wanted, element: other }) => {
                *len == *wanted && element.is(other)
            }
            (Self::Array { .. }, Type::Int { size, order: Order::Big | Order::Little, .. }) => self.is_bytes(*size),
            (Self::Array { .. }, Type::Named { size, may_be_bytes: true, .. }) => self.is_bytes(*size),
            (Self::Named { digest, .. }, Type::Named { digest: wanted, .. }) => *digest == *wanted,
            _ => false,
        }
    }

    const fn is_bytes(&self, size: usize) -> bool {
        match self {
            Self::Array { len, element: Self::Int { size: 1, signed: false, .. }, .. } => *len == size,
            _ => false,
        }
    }
}

macro_rules! integers {
    ($($of:ty, $signed:literal;)*) => {
        $(
            impl<Role> Describe<Role> for $of {
                const SHAPE: Shape = Shape::Int { size: size_of::<$of>(), signed: $signed, order: Order::Untold };
            }
        )*
    };
}

integers! {
    u8, false; u16, false; u32, false; u64, false; u128, false;
    i8, true; i16, true; i32, true; i64, true; i128, true;
}

/// zerocopy's integers of a byte order.
macro_rules! ordered {
    ($($of:ident, $signed:literal;)*) => {
        $(
            impl<Role> Describe<Role> for byteorder::$of<byteorder::BigEndian> {
                const SHAPE: Shape = Shape::Int { size: size_of::<Self>(), signed: $signed, order: Order::Big };
            }
            impl<Role> Describe<Role> for byteorder::$of<byteorder::LittleEndian> {
                const SHAPE: Shape = Shape::Int { size: size_of::<Self>(), signed: $signed, order: Order::Little };
            }
        )*
    };
}

ordered! {
    U16, false; U32, false; U64, false; U128, false;
    I16, true; I32, true; I64, true; I128, true;
}

impl<Role> Describe<Role> for f32 {
    const SHAPE: Shape = Shape::Float { size: 4 };
}

impl<Role> Describe<Role> for f64 {
    const SHAPE: Shape = Shape::Float { size: 8 };
}

impl<Role, T: Describe<Role>, const LEN: usize> Describe<Role> for [T; LEN] {
    const SHAPE: Shape = Shape::Array { len: LEN, size: size_of::<Self>(), element: &T::SHAPE };
}
