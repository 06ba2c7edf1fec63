//! Where in a key or a value something is.

use std::fmt;

/// Bits of a key or value. Within an array of structs, those of its first element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bits from the start of the key or value.
    pub offset_bits: u64,
    /// Width in bits.
    pub size_bits: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset_bits.is_multiple_of(8) && self.size_bits.is_multiple_of(8) {
            let (start, len) = (self.offset_bits / 8, self.size_bits / 8);
            match len {
                1 => write!(f, "byte {start}"),
                _ => write!(f, "bytes {start}..{}", start + len),
            }
        } else {
            match self.size_bits {
                1 => write!(f, "bit {}", self.offset_bits),
                _ => write!(f, "bits {}..{}", self.offset_bits, self.offset_bits + self.size_bits),
            }
        }
    }
}
