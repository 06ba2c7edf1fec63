//! Names of members and enumerators.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Bytes of a name that need no allocation.
const SHORT: usize = 22;

/// The name of a member or enumerator.
///
/// An object has thousands of them and few are long, so that short ones (up to 22 bytes) are held in place. It is a `str`
/// to whoever reads it.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    /// The first `len` bytes are the name.
    Short {
        len: u8,
        bytes: [u8; SHORT],
    },
    Long(Arc<str>),
}

impl Name {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // The bytes came from a `str`, so that this does not fail.
            Repr::Short { len, bytes } => {
                bytes.get(..usize::from(*len)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
            }
            Repr::Long(name) => name,
        }
    }

    /// The name that ends at the first NUL of `bytes`, if it is short and ASCII.
    pub(crate) fn short(bytes: &[u8]) -> Option<Self> {
        // Eight bytes at a time: a loop over each would be left after another number of turns for each name, which no
        // processor guesses right.
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let mut words = [[0; 8]; 3];
        for (at, (place, word)) in words.iter_mut().zip(bytes.chunks_exact(8)).enumerate() {
            let word = u64::from_le_bytes(word.try_into().ok()?);
            // The lowest bit that is set is the highest of the first byte that is 0.
            let zeros = word.wrapping_sub(ONES) & !word & HIGH;
            let end = zeros.trailing_zeros() / 8;
            let word = if end == 8 { word } else { word & ((1 << (end * 8)) - 1) };
            if word & HIGH != 0 {
                return None;
            }
            *place = word.to_le_bytes();
            let len = at * 8 + end as usize;
            if end < 8 && len <= SHORT {
                let [a, b, c] = words;
                let mut bytes = [0; SHORT];
                bytes[..8].copy_from_slice(&a);
                bytes[8..16].copy_from_slice(&b);
                bytes[16..].copy_from_slice(&c[..SHORT - 16]);
                return Some(Self(Repr::Short { len: len as u8, bytes }));
            }
        }
        None
    }
}

impl Default for Name {
    /// No name: that of an anonymous member.
    fn default() -> Self {
        Self(Repr::Short { len: 0, bytes: [0; SHORT] })
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Self(Repr::Short { len: name.len() as u8, bytes })
            }
            None => Self(Repr::Long(name.into())),
        }
    }
}

impl From<Arc<str>> for Name {
    fn from(name: Arc<str>) -> Self {
        if name.len() <= SHORT { Self::from(&*name) } else { Self(Repr::Long(name)) }
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_is_what_it_was_made_of() {
        for text in
            ["", "a", "twenty_two_bytes_long_", "twenty_three_bytes_long", "überlänge_in_utf_8_ü", &"x".repeat(300)]
        {
            assert_eq!(&*Name::from(text), text);
            assert_eq!(&*Name::from(Arc::<str>::from(text)), text);
            let in_a_section = format!("{text}\0and another\0and another\0");
            let short = Name::short(in_a_section.as_bytes());
            assert_eq!(short.as_deref(), (text.is_ascii() && text.len() <= SHORT).then_some(text));
        }
        assert_eq!(size_of::<Name>(), 24);
    }
}
