//! The entries of a map as `bpftool -j map dump` has them: bytes, and beside them the members.

use serde_json::json;

use super::object;
use crate::node::{Piece, Pinned};

pub(super) fn piece(of: &Pinned, piece: Piece<'_>) -> String {
    match piece {
        Piece::Begin => "[".to_owned(),
        Piece::Entry { index, key, values } => {
            format!("{}{}", if index == 0 { "\n" } else { ",\n" }, entry(of, key, values))
        }
        Piece::End { .. } => "\n]\n".to_owned(),
    }
}

fn entry(of: &Pinned, key: &[u8], values: &[&[u8]]) -> serde_json::Value {
    let bytes = |of: &[u8]| of.iter().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>();
    let members = object(of.def.key.as_deref(), "key", key);
    let value_of = |value: &[u8]| object(of.def.value.as_deref(), "value", value);
    if let [value] = values {
        return json!({
            "key": bytes(key),
            "value": bytes(value),
            "formatted": { "key": members, "value": value_of(value) },
        });
    }
    let cpus = values.iter().enumerate();
    let raw: Vec<_> = cpus.clone().map(|(cpu, value)| json!({ "cpu": cpu, "value": bytes(value) })).collect();
    let told: Vec<_> = cpus.map(|(cpu, value)| json!({ "cpu": cpu, "value": value_of(value) })).collect();
    json!({ "key": bytes(key), "values": raw, "formatted": { "key": members, "values": told } })
}
