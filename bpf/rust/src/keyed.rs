//! A generic value and a newtype key.

/// A newtype around a `u16`; `#[repr(transparent)]`, so a map key of two bytes.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Port(pub u16);

/// A newtype around a `u32`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Verdict(pub u32);

/// Instantiated with several `T`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Keyed<T> {
    pub generation: u32,
    pub item: T,
}
