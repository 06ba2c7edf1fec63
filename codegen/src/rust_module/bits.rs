//! Bit-fields: methods that read and write them in the bytes that they share.

use std::fmt::Write as _;

use maplock_layout::{Composite, IntKind, Shape};

use super::QUIET;
use super::composite::{Field, Holds};
use super::names::{Names, identifier};
use super::types::Types;

/// Reading and writing bit-fields. BTF counts bits from the least significant one of little-endian objects, and from the
/// most significant one of big-endian objects; maps are read on machines of the byte order that they were made for.
pub(super) const BITS: &str = "
{QUIET}
const fn __bit(index: usize) -> (usize, u8) {
    let mask = if cfg!(target_endian = \"big\") { 0x80 >> (index % 8) } else { 1 << (index % 8) };
    (index / 8, mask)
}

{QUIET}
const fn __get_bits(bytes: &[u8], offset: usize, width: usize) -> u128 {
    let (mut value, mut bit) = (0, 0);
    while bit < width {
        let (byte, mask) = __bit(offset + bit);
        let place = if cfg!(target_endian = \"big\") { width - 1 - bit } else { bit };
        if bytes[byte] & mask != 0 {
            value |= 1_u128 << place;
        }
        bit += 1;
    }
    value
}

{QUIET}
const fn __set_bits(bytes: &mut [u8], offset: usize, width: usize, value: u128) {
    let mut bit = 0;
    while bit < width {
        let (byte, mask) = __bit(offset + bit);
        let place = if cfg!(target_endian = \"big\") { width - 1 - bit } else { bit };
        if value >> place & 1 == 1 {
            bytes[byte] |= mask;
        } else {
            bytes[byte] &= !mask;
        }
        bit += 1;
    }
}
";

/// The methods of one struct.
#[derive(Debug, Default)]
pub(super) struct Accessors {
    /// With `{TYPE}` for the struct's name.
    pub(super) text: String,
    /// Names of those that read.
    pub(super) readers: Vec<String>,
}

impl Types<'_> {
    /// Methods for the bit-fields of a struct.
    pub(super) fn accessors(&mut self, of: &Composite, fields: &[Field]) -> Accessors {
        let (mut methods, mut names, mut readers) = (String::new(), Names::default(), Vec::new());
        for member in of.members() {
            let (Some(bits), Some(field)) = (
                member.bits,
                fields.iter().find(|field| {
                    field.holds == Holds::Bits
                        && field.offset * 8 <= member.offset_bits
                        && member.end_bits() <= (field.offset + field.size) * 8
                }),
            ) else {
                continue;
            };
            let (ty, signed) = match &member.layout.shape {
                Shape::Int(IntKind::Signed) => (format!("i{}", member.layout.size * 8), true),
                _ => (format!("u{}", member.layout.size * 8), false),
            };
            let at = member.offset_bits - field.offset * 8;
            let read = format!("__get_bits(&self.{}, {at}, {bits})", field.name);
            // Shifted up and down again, the top bit becomes the sign.
            let value = if signed {
                format!("(({read} as i128) << {0} >> {0}) as {ty}", 128 - bits)
            } else {
                format!("{read} as {ty}")
            };
            let name = names.claim(identifier(&member.name));
            readers.push(name.clone());
            let setter =
                names.claim(format!("set_{}", identifier(&member.name).trim_start_matches("r#").trim_matches('_')));
            _ = write!(
                methods,
                "    /// `{}`, {bits} bits at bit {}.\n    pub const fn {name}(&self) -> {ty} {{\n        {value}\n    }}\n\n    \
                 /// Sets `{}`; bits beyond its {bits} are dropped.\n    pub const fn {setter}(&mut self, value: {ty}) {{\n        \
                 __set_bits(&mut self.{}, {at}, {bits}, value as u128)\n    }}\n",
                member.name, member.offset_bits, member.name, field.name
            );
        }
        if methods.is_empty() {
            return Accessors::default();
        }
        self.has_bits = true;
        Accessors { text: format!("\n{QUIET}\nimpl {{TYPE}} {{\n{methods}}}\n"), readers }
    }
}
