//! Texts that are put together as constants are evaluated.

use super::shape::{Order, Shape};

/// A text of up to 1,024 bytes; what is longer is cut.
pub(super) struct Text {
    bytes: [u8; 1024],
    len: usize,
}

impl Text {
    pub(super) const fn new(start: &str) -> Self {
        Self { bytes: [0; 1024], len: 0 }.str(start)
    }

    pub(super) const fn str(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    pub(super) const fn number(self, number: usize) -> Self {
        let text = if number >= 10 { self.number(number / 10) } else { self };
        let digit = [b'0' + (number % 10) as u8];
        match core::str::from_utf8(&digit) {
            Ok(digit) => text.str(digit),
            Err(_) => text,
        }
    }

    pub(super) const fn integer(self, number: i128) -> Self {
        let text = if number < 0 { self.str("-") } else { self };
        text.number(number.unsigned_abs() as usize)
    }

    /// `1 byte`, `4 bytes`.
    pub(super) const fn bytes(self, number: usize) -> Self {
        self.number(number).str(if number == 1 { " byte" } else { " bytes" })
    }

    /// How Rust spells a type.
    pub(super) const fn shape(self, shape: &Shape) -> Self {
        match shape {
            Shape::Unknown => self.str("unknown"),
            Shape::Int { size, signed, order } => match order {
                Order::Untold => self.str(if *signed { "i" } else { "u" }),
                // zerocopy's names.
                Order::Big => self.str("big_endian::").str(if *signed { "I" } else { "U" }),
                Order::Little => self.str("little_endian::").str(if *signed { "I" } else { "U" }),
            }
            .number(*size * 8),
            Shape::Float { size } => self.str("f").number(*size * 8),
            Shape::Array { len, element, .. } => self.str("[").shape(element).str("; ").number(*len).str("]"),
            Shape::Named { name, .. } | Shape::Enum { name, .. } => self.str(name),
        }
    }

    #[track_caller]
    pub(super) const fn panic(&self) -> ! {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => panic!("{}", text),
            Err(_) => panic!("the layout is not that of `maps.lock`"),
        }
    }
}
