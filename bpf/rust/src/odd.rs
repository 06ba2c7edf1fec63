//! Types without a promised layout, or of kinds that BTF has no word for.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::num::NonZeroU32;

/// `repr(Rust)`: the compiler may put `large` first.
#[derive(Clone, Copy)]
pub struct Unordered {
    pub small: u8,
    pub large: u64,
    pub medium: u16,
}

/// An enum that carries data, with a C layout (a struct of tag and union).
#[repr(C)]
#[derive(Clone, Copy)]
pub enum Tagged {
    Nothing,
    Number(u32),
    Pair { left: u16, right: u16 },
}

/// Members from `core`, tuples, a `char`, floats and members of size 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Mixture {
    pub pair: (u32, u8),
    pub maybe: Option<u32>,
    pub niche: Option<NonZeroU32>,
    pub letter: char,
    pub ratio: f32,
    pub exact: f64,
    pub size: usize,
    pub nothing: (),
    pub empty: [u64; 0],
    pub marker: PhantomData<u16>,
    pub raw: MaybeUninit<u32>,
    pub tagged: Tagged,
    pub r#type: u8,
}
