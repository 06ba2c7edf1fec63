//! How entries of one definition become entries of another, as plain data: derived from two layouts and the answers that an
//! epoch gives, run by whoever has the bytes (a program in the kernel, or user space).

mod answers;
mod bent;
mod check;
mod choice;
mod convert;
mod defaults;
mod derive;
mod inverse;
mod leaf;
mod matching;
mod meaning;
mod members;
mod numbers;
mod padding;
mod parts;
mod plan;
mod rest;
mod strict;
mod text;
mod tidy;
mod units;

use crate::digest::Digest;

pub use answers::Answers;
pub use bent::{Bent, Cut, Joined};
pub use check::StepsError;
pub use choice::Choice;
pub use convert::Unfit;
pub(crate) use derive::by_hand;
pub(crate) use numbers::store;
pub use plan::{Act, Derived, MemberPlan, Mistake, Problems, Question};
pub use text::TextError;

/// The whole way from the definition that a node holds to today's: one leg for each epoch between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversion {
    /// One behind the other. Epochs that keep the bytes as they are have none.
    pub legs: Vec<Leg>,
}

impl Conversion {
    /// What becomes of entries whose keys become one, if that can be: by the first leg of which it was asked, then by one that loses
    /// padding. Code by hand says nothing: counts are added up, and of the rest one stays.
    #[must_use]
    pub fn collide(&self) -> Option<Collide> {
        let derived = |keeps_key: bool| {
            self.legs.iter().find_map(move |leg| match leg {
                Leg::Derived(leg) if leg.keeps_key == keeps_key => leg.collide,
                _ => None,
            })
        };
        let by_hand = self.legs.iter().any(|leg| matches!(leg, Leg::ByHand { .. }));
        derived(false).or_else(|| derived(true)).or(by_hand.then_some(Collide::Sum))
    }
}

/// The way over one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leg {
    /// Derived from the two definitions.
    Derived(DerivedLeg),
    /// Written by hand: `impl Migrate` in the daemon.
    ByHand {
        /// Digest of the definition that it leaves.
        from: Digest,
        /// Digest of the definition that it leads to.
        to: Digest,
    },
}

/// How an entry's key and value are converted over one epoch, as derived from its two definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedLeg {
    /// The key.
    pub key: Steps,
    /// The value; in a per-CPU map, that of each CPU.
    pub value: Steps,
    /// What becomes of two entries whose keys become one; `None` if no two can.
    pub collide: Option<Collide>,
    /// True if each member of a key comes back from the new one: what a key loses, if anything, is padding.
    pub keeps_key: bool,
}

/// How bytes of one layout become bytes of another. The steps write different bits, and read what is not written: their order
/// does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// Size of the old bytes.
    pub from_size: u32,
    /// Size of the new bytes. What no step writes is 0.
    pub to_size: u32,
    /// What is done.
    pub steps: Vec<Step>,
}

/// One step of a conversion. Offsets are from the start of the key or value; within [`Step::Repeat`], of the element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bytes as they are.
    Copy {
        /// First byte of the old.
        from: u32,
        /// First byte of the new.
        to: u32,
        /// How many.
        len: u32,
    },
    /// An integer that becomes wider or narrower, signed or unsigned, a bit-field or none, or another number.
    Int(Int),
    /// Bytes that the old entry does not tell. Only if an entry is made: what is there stays if one is written over.
    Set {
        /// First byte of the new.
        to: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The same for each element of an array.
    Repeat {
        /// First byte of the old array.
        from: u32,
        /// Bytes from one old element to the next.
        from_stride: u32,
        /// First byte of the new array.
        to: u32,
        /// Bytes from one new element to the next.
        to_stride: u32,
        /// How many elements.
        count: u32,
        /// For each of them.
        steps: Vec<Step>,
    },
}

/// An integer and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Int {
    /// Where it is.
    pub from: Bits,
    /// Where it goes.
    pub to: Bits,
    /// What becomes of a number that does not fit; `None` if each does.
    pub cast: Option<Cast>,
    /// Multiplied and divided by; of unsigned integers only.
    pub scale: Option<Scale>,
    /// Numbers that become others: old and new, as 64 bits in two's complement. Those that are not here stay what they are.
    pub numbers: Vec<(u64, u64)>,
}

/// Where an integer is: 1 to 64 bits, within 8 bytes. Whole bytes are in the machine's byte order; the bits of a bit-field are
/// counted as BTF counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// First bit.
    pub offset: u32,
    /// How many.
    pub width: u32,
    /// True for two's complement.
    pub signed: bool,
}

impl Bits {
    /// First byte and number of bytes, for an integer of 1, 2, 4 or 8 whole bytes.
    #[must_use]
    pub fn bytes(self) -> Option<(u32, u32)> {
        let whole = self.offset.is_multiple_of(8) && matches!(self.width, 8 | 16 | 32 | 64);
        whole.then_some((self.offset / 8, self.width / 8))
    }
}

/// What becomes of a number that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cast {
    /// The upgrade does not happen, and nothing has changed.
    Refuse,
    /// The nearest number that fits.
    Saturate,
    /// The low bits.
    Truncate,
}

/// A change of unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale {
    /// What the number is multiplied by, 1 or more.
    pub multiply: u32,
    /// What it is divided by then, rounded down, 1 or more.
    pub divide: u32,
}

/// What becomes of two entries whose keys become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collide {
    /// The upgrade does not happen, and nothing has changed.
    Refuse,
    /// One of them stays, and the counts of the other are added to it.
    Sum,
    /// One of them stays.
    KeepOne,
}
