//! Conversions by hand, tried before a node depends on them.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use maplock_layout::lock::{Epoch, OnUpgrade};

use super::dumps::{self, Entry};
use crate::transfer::migrate::ByHand;
use crate::upgrade::begin::Options;

/// The variable that names dumps of real maps, with colons in between. A file runs through the conversions of the map that it is named
/// after up to its first dot (`flows.json`), or of every map where it is named after none; where the sizes fit.
const DUMPS: &str = "MAPLOCK_DUMPS";

/// How many made-up entries have random bytes.
const RANDOM: u64 = 1000;

/// Runs each conversion by hand of the lock over entries of all zeros, of all ones, of random bytes (the same each time), and over those
/// of the dumps; prints how many they were.
///
/// # Panics
/// With the entry that one fails for; where one is missing; and where a dump can't be used.
pub fn try_migrations(options: &Options) {
    let paths = std::env::var_os(DUMPS).unwrap_or_default();
    let dumps: Vec<PathBuf> = std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect();
    match run(options, &dumps) {
        Ok(told) => print!("{told}"),
        Err(problem) => panic!("{problem}"),
    }
}

fn run(options: &Options, dumps: &[PathBuf]) -> Result<String, String> {
    let mut dumps = dumps.iter().map(|path| Dump::read(path)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = options.spec.maps().map(|map| map.def.name.as_str()).collect();
    let mut told = String::new();
    for map in options.spec.maps() {
        let name = map.def.name.as_str();
        for epoch in map.epochs.iter().filter(|epoch| epoch.on_upgrade == OnUpgrade::Migrate && epoch.convert.by_hand) {
            let from_to = format!("{} -> {}", epoch.from.short(), epoch.to.short());
            let convert = options
                .migrations
                .get(epoch.from, epoch.to)
                .ok_or_else(|| format!("map `{name}`: there is no conversion {from_to}, which maps.lock asks for"))?;
            let sizes = (epoch.previous.key_size as usize, epoch.previous.value_size as usize);
            let check = |(key, value): &Entry| {
                attempt(
                    convert,
                    key,
                    value,
                    epoch,
                    (map.def.key_size, map.def.value_size, map.def.digest() == epoch.to),
                )
                .map_err(|problem| {
                    format!("map `{name}`, {from_to}: {problem}, for key {} and value {}", hex(key), hex(value))
                })
            };
            let made_up = made_up(sizes);
            made_up.iter().try_for_each(check)?;
            _ = write!(told, "map `{name}`, {from_to}: {} made-up entries", made_up.len());
            for dump in dumps.iter_mut().filter(|dump| dump.is_of(name, &names) && dump.has_sizes(sizes)) {
                dump.is_used = true;
                dump.entries.iter().try_for_each(check)?;
                _ = write!(told, ", {} of {}", dump.entries.len(), dump.path.display());
            }
            told.push('\n');
        }
    }
    match dumps.iter().find(|dump| !dump.is_used && !dump.entries.is_empty()) {
        Some(unused) => {
            let (key, value) = &unused.entries[0];
            let path = unused.path.display();
            Err(format!(
                "{path}: no conversion by hand is from keys of {} and values of {} bytes",
                key.len(),
                value.len()
            ))
        }
        None => Ok(told),
    }
}

/// Converts one entry. `new` has the sizes of today's keys and values, and whether the conversion leads to them.
fn attempt(
    convert: &std::sync::Arc<ByHand>,
    key: &[u8],
    value: &[u8],
    epoch: &Epoch,
    new: (u32, u32, bool),
) -> Result<(), String> {
    let mut wrong = None;
    let mut insert = |key: &[u8], value: &[u8]| {
        let (key_size, value_size, is_today) = new;
        if is_today && (key.len(), value.len()) != (key_size as usize, value_size as usize) {
            wrong = Some(format!("it gives keys of {} and values of {} bytes", key.len(), value.len()));
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| convert(key, value, &mut insert)));
    let result = match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the conversion says: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            Err(format!("the conversion panics: {text}"))
        }
    };
    result.and(wrong.map_or(Ok(()), |wrong| Err(format!("{wrong}, which {} does not have", epoch.to.short()))))
}

/// Entries that nobody has written.
fn made_up((key, value): (usize, usize)) -> Vec<Entry> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |len: usize| -> Vec<u8> {
        let bytes = std::iter::repeat_with(|| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        bytes.flatten().take(len).collect()
    };
    let same = [0, 0xff].map(|byte| (vec![byte; key], vec![byte; value]));
    same.into_iter().chain((0..RANDOM).map(|_| (random(key), random(value)))).collect()
}

struct Dump {
    path: PathBuf,
    entries: Vec<Entry>,
    is_used: bool,
}

impl Dump {
    fn read(path: &Path) -> Result<Self, String> {
        Ok(Self { path: path.to_owned(), entries: dumps::read(path)?, is_used: false })
    }

    fn is_of(&self, map: &str, all: &[&str]) -> bool {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.split('.').next().unwrap_or_default();
        name == map || !all.contains(&name)
    }

    fn has_sizes(&self, sizes: (usize, usize)) -> bool {
        self.entries.iter().all(|(key, value)| (key.len(), value.len()) == sizes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}
