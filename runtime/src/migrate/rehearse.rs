//! Conversions by hand, tried on entries: what the generated test `maplock_migrations` runs.

use std::path::Path;

use maplock_layout::conversion::Converting;
use maplock_layout::{Digest, MapDef};

use super::Migrations;
use crate::spec::Spec;

/// Random entries for each conversion.
const RANDOM: u32 = 1000;

/// A key and a value.
type Entry = (Vec<u8>, Vec<u8>);

/// Runs every conversion of `migrations` over entries that are all zero, all ones, and random, and over those of the dumps that
/// `MAPLOCK_DUMPS` names. Code may refuse an entry that was made up, and no entry of a dump.
///
/// # Panics
/// Where code does, or refuses an entry of a dump.
pub fn rehearse(spec: &Spec, migrations: &Migrations) {
    let dumps = std::env::var("MAPLOCK_DUMPS").unwrap_or_default();
    let dumps: Vec<_> = dumps.split(':').filter(|path| !path.is_empty()).map(Path::new).collect();
    for map in spec.maps() {
        for step in Converting::all(map) {
            let (from, to) = (step.epoch.from, step.epoch.to);
            if migrations.get(from, to).is_none() {
                continue;
            }
            let generated = generated(step.old);
            let refused = generated.iter().filter(|entry| convert(migrations, from, to, entry).is_err()).count();
            let name = &map.def.name;
            let mut dumped = 0;
            for path in dumps.iter().filter(|path| path.file_stem().is_some_and(|stem| stem == name.as_str())) {
                for entry in read(path, step.old) {
                    if let Err(problem) = convert(migrations, from, to, &entry) {
                        let (key, value) = (&entry.0, &entry.1);
                        panic!("{}: the entry {key:02x?} -> {value:02x?} of map `{name}`: {problem}", path.display());
                    }
                    dumped += 1;
                }
            }
            println!(
                "maplock: `{name}` from {}: {} generated entries tried, {refused} refused by the code; {dumped} of dumps converted",
                from.short(),
                generated.len()
            );
        }
    }
}

fn convert(migrations: &Migrations, from: Digest, to: Digest, (key, value): &Entry) -> Result<(), super::MigrateError> {
    match migrations.get(from, to) {
        Some(code) => code(key, value, &mut |_, _| {}),
        None => Ok(()),
    }
}

/// Always the same ones.
fn generated(def: &MapDef) -> Vec<Entry> {
    let (key_size, value_size) = (def.key_size as usize, def.value_size as usize);
    let mut entries: Vec<_> = [0, 0xff].map(|byte| (vec![byte; key_size], vec![byte; value_size])).into();
    let mut state = 1_u64;
    let mut bytes = |len| -> Vec<u8> {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..len).map(next).collect()
    };
    entries.extend((0..RANDOM).map(|_| (bytes(key_size), bytes(value_size))));
    entries
}

/// The entries of a dump that are of this definition, by their sizes.
fn read(path: &Path, def: &MapDef) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let document: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bytes = |value: &serde_json::Value| -> Vec<u8> {
        let byte = |byte: &serde_json::Value| u8::from_str_radix(byte.as_str()?.strip_prefix("0x")?, 16).ok();
        let bytes = value.as_array().and_then(|bytes| bytes.iter().map(byte).collect());
        bytes.unwrap_or_else(|| panic!("{}: `{value}` are no bytes", path.display()))
    };
    let mut entries = Vec::new();
    for entry in document.as_array().into_iter().flatten() {
        let key = bytes(&entry["key"]);
        let cpus = entry["values"].as_array().into_iter().flatten().map(|cpu| &cpu["value"]);
        let values = entry.get("value").into_iter().chain(cpus);
        entries.extend(values.map(|value| (key.clone(), bytes(value))));
    }
    entries.retain(|(key, value)| (key.len(), value.len()) == (def.key_size as usize, def.value_size as usize));
    entries
}
