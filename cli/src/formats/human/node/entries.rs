//! The entries of a map.

use std::fmt::Write as _;

use crate::node::{Piece, Pinned};
use maplock::layout::values::line;

pub(super) fn piece(of: &Pinned, piece: Piece<'_>) -> String {
    let def = &of.def;
    let value_of = |value: &[u8]| line(def.value.as_deref(), "value", value);
    match piece {
        Piece::Begin => String::new(),
        Piece::Entry { key, values, .. } => {
            let key = line(def.key.as_deref(), "key", key);
            if let [value] = values {
                return format!("{key}  ->  {}\n", value_of(value));
            }
            let mut out = format!("{key}\n");
            for (cpu, value) in values.iter().enumerate() {
                _ = writeln!(out, "  cpu {cpu}  ->  {}", value_of(value));
            }
            out
        }
        Piece::End { entries, is_cut } => {
            let noun = if entries == 1 { "entry" } else { "entries" };
            let cut = if is_cut { ", and maybe more" } else { "" };
            format!("{entries} {noun} of {}{cut}\n", def.name)
        }
    }
}
