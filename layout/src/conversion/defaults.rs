//! What a new member begins as, from the text of an answer.

use super::Step;
use super::members::{Leaf, Order, number};
use super::numbers::store;
use crate::layout::{IntKind, Shape};

/// The step that makes `leaf` what `text` says; `None` if that is all zero.
pub(super) fn set(leaf: &Leaf<'_>, text: &str) -> Result<Option<Step>, String> {
    let (to, bytes) = match quoted(text) {
        Some(inside) => (leaf.byte(), characters(leaf, inside)?),
        None => integer(leaf, parse(text)?)?,
    };
    Ok(bytes.iter().any(|&byte| byte != 0).then_some(Step::Set { to, bytes }))
}

/// `42`, `-1`, `0xff`
pub(super) fn parse(text: &str) -> Result<i128, String> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let parsed = match digits.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => i128::from_str_radix(digits, 16),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse(),
        _ => return Err(format!("`{text}` is neither a number nor text in quotes")),
    };
    let number = parsed.map_err(|_| format!("`{text}` is neither a number nor text in quotes"))?;
    Ok(if negative { -number } else { number })
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

fn characters(leaf: &Leaf<'_>, text: &str) -> Result<Vec<u8>, String> {
    let is_text = match &leaf.layout.shape {
        Shape::Array { element, .. } => element.size == 1 && matches!(element.shape, Shape::Int(IntKind::Char)),
        _ => false,
    };
    if !is_text {
        return Err(format!("text, where {} is", leaf.spelling()));
    }
    if text.len() as u64 > leaf.layout.size {
        return Err(format!("{} bytes of text, where {} fit", text.len(), leaf.layout.size));
    }
    Ok(text.as_bytes().to_vec())
}

fn integer(leaf: &Leaf<'_>, value: i128) -> Result<(u32, Vec<u8>), String> {
    let Some(place) = number(leaf) else {
        // All that is not a number can still begin as nothing.
        return match value {
            0 => Ok((leaf.byte(), Vec::new())),
            _ => Err(format!("a number, where {} is", leaf.spelling())),
        };
    };
    let bits = place.bits;
    let fits = if place.is_bool { (0..=1).contains(&value) } else { bits.fits(value) };
    if !fits {
        return Err(format!("{value} does not fit {}", leaf.spelling()));
    }
    let first = bits.offset / 8;
    let len = (bits.offset + bits.width).div_ceil(8) - first;
    let low = value as u64;
    let bytes = match place.order {
        Order::Big => low.to_be_bytes()[8 - len as usize..].to_vec(),
        Order::Little => low.to_le_bytes()[..len as usize].to_vec(),
        Order::Host => {
            let mut bytes = vec![0; len as usize];
            let here = super::Bits { offset: bits.offset % 8, ..bits };
            store(&mut bytes, here, low).ok_or("it is not within 8 bytes")?;
            bytes
        }
    };
    Ok((first, bytes))
}
