//! Conversions by hand, tried before a node depends on them.

use std::any::Any;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use maplock_layout::Digest;
use maplock_layout::conversion::{Conversion, Leg, Unfit};
use maplock_layout::dump::{self, DumpError};
use maplock_layout::history::Converting;
use maplock_layout::lock::LockedMap;
use maplock_layout::rehearsal::{Entry, RANDOM, Rehearsal, Rehearsed};
use serde::Serialize;

use crate::transfer::migrate::{MigrateError, Migrations};
use crate::transfer::{NoSuchCode, Way};
use crate::upgrade::begin::Options;

/// The variable that names dumps of real maps, with colons in between. A file, or what stands before it as `MAP=`, is called after a map,
/// and runs through that one's conversions, or through those of every map if it is called after none; if the sizes fit.
const DUMPS: &str = "MAPLOCK_DUMPS";

/// The variable that names a file to which a line of JSON is added for each conversion that was tried.
const REHEARSED: &str = "MAPLOCK_REHEARSED";

/// Runs each way on which entries of the lock's maps are converted by hand, to today's definition, over entries of all zeros, of all
/// ones, of random bytes (the same each time), and over those of the dumps; prints how many they were.
///
/// # Panics
/// With the entries that one fails for; if one is missing; and if a dump can't be used.
pub fn try_migrations(options: &Options) {
    let paths = std::env::var_os(DUMPS).unwrap_or_default();
    let dumps: Vec<PathBuf> = std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect();
    let tried = run(options, &dumps).unwrap_or_else(|error| panic!("{error}"));
    tried.iter().for_each(|tried| println!("{tried}"));
    if let Some(path) = std::env::var_os(REHEARSED) {
        let told = tell(Path::new(&path), &tried);
        told.unwrap_or_else(|error| panic!("{}: {error}", path.to_string_lossy()));
    }
    let problems: Vec<_> = tried.iter().flat_map(Tried::problems).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn tell(path: &Path, tried: &[Tried]) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(path)?;
    for tried in tried {
        let line = serde_json::to_string(tried).map_err(io::Error::other)?;
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// What came of one way.
#[derive(Serialize)]
struct Tried {
    map: String,
    /// Digests that it leads between.
    from: String,
    to: String,
    /// The dumps, with how many entries each has.
    #[serde(skip)]
    dumps: Vec<(PathBuf, usize)>,
    #[serde(flatten)]
    rehearsed: Rehearsed,
}

impl Tried {
    fn name(&self) -> String {
        format!("map `{}`, {} -> {}", self.map, &self.from[..8], &self.to[..8])
    }

    fn problems(&self) -> impl Iterator<Item = String> {
        self.rehearsed.problems.iter().map(|problem| format!("{}: {problem}", self.name()))
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} made-up entries", self.name(), self.rehearsed.generated)?;
        if self.rehearsed.refused > 0 {
            write!(f, " and {} that are refused", self.rehearsed.refused)?;
        }
        self.dumps.iter().try_for_each(|(path, entries)| write!(f, ", {entries} of {}", path.display()))?;
        match self.rehearsed.collided {
            0 => Ok(()),
            collided => write!(f, ", of which {collided} have a key that others have"),
        }
    }
}

/// What can't be tried, and why.
#[derive(Debug)]
enum TrialError {
    NoCode { map: String, source: NoSuchCode },
    Read { path: PathBuf, source: io::Error },
    Dump { path: PathBuf, source: DumpError },
    Unused { path: PathBuf, key: usize, value: usize },
}

impl fmt::Display for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCode { map, source } => write!(f, "map `{map}`: {source}"),
            Self::Read { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Dump { path, source } => write!(
                f,
                "{}: {source}; write it with `bpftool -j map dump pinned PIN > FILE`, or `maplock dump PIN --message-format json > FILE`",
                path.display()
            ),
            Self::Unused { path, key, value } => {
                write!(f, "{}: no conversion by hand takes keys of {key} and values of {value} bytes", path.display())
            }
        }
    }
}

impl std::error::Error for TrialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCode { source, .. } => Some(source),
            Self::Read { source, .. } => Some(source),
            Self::Dump { source, .. } => Some(source),
            Self::Unused { .. } => None,
        }
    }
}

fn run(options: &Options, dumps: &[PathBuf]) -> Result<Vec<Tried>, TrialError> {
    let names: Vec<&str> = options.spec.maps().map(|map| map.def.name.as_str()).collect();
    let mut dumps = dumps.iter().map(|named| Dump::read(named, &names)).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for map in options.spec.maps() {
        for step in Converting::all(map) {
            if let Some(conversion) = by_hand(map, &step) {
                all.push(one(map, &step, &conversion, &options.migrations, &mut dumps)?);
            }
        }
    }
    for Dump { path, entries, is_used, .. } in dumps {
        if let Some(entry) = entries.first().filter(|_| !is_used) {
            let (key, value) = (entry.key.len(), entry.values[0].len());
            return Err(TrialError::Unused { path, key, value });
        }
    }
    Ok(all)
}

/// The way from an epoch to today's definition, or over that epoch alone if none leads there; `None` if nothing is by hand.
fn by_hand(map: &LockedMap, step: &Converting<'_>) -> Option<Conversion> {
    let (from, to) = (step.epoch.from, step.epoch.to);
    let conversion = Conversion::lead(map, from).unwrap_or_else(|_| Conversion {
        legs: if step.epoch.convert.by_hand { vec![Leg::ByHand { from, to }] } else { Vec::new() },
    });
    conversion.legs.iter().any(|leg| matches!(leg, Leg::ByHand { .. })).then_some(conversion)
}

fn one(
    map: &LockedMap,
    step: &Converting<'_>,
    conversion: &Conversion,
    migrations: &Migrations,
    dumps: &mut [Dump],
) -> Result<Tried, TrialError> {
    let name = map.def.name.as_str();
    let leads_on = Conversion::lead(map, step.epoch.from).is_ok();
    let new = if leads_on { &map.def } else { step.new };
    let (key_size, value_size) = (step.old.key_size, step.old.value_size);
    let way = Way::new(conversion, migrations, key_size, value_size)
        .map_err(|source| TrialError::NoCode { map: name.to_owned(), source })?;
    let convert = |key: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])| caught(&way, key, value, insert);
    let rehearsal = Rehearsal {
        old: (key_size, value_size),
        new: (new.key_size, new.value_size),
        convert: &convert,
        collide: conversion.collide(),
        lossless: None,
    };
    let mut rehearsed = Rehearsed::default();
    rehearsal.generated(RANDOM, &mut rehearsed);
    let mut own = Vec::new();
    for dump in dumps.iter_mut().filter(|dump| dump.is_for(name, key_size, value_size)) {
        dump.is_used = true;
        rehearsal.dumped(&dump.entries, &mut rehearsed);
        own.push((dump.path.clone(), dump.entries.iter().map(|entry| entry.values.len()).sum()));
    }
    let digest = |digest: Digest| digest.to_string();
    let (from, to) = (digest(step.epoch.from), digest(if leads_on { map.def.digest() } else { step.epoch.to }));
    Ok(Tried { map: name.to_owned(), from, to, dumps: own, rehearsed })
}

/// Converts an entry by code that may panic.
fn caught(way: &Way, key: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), MigrateError> {
    match catch_unwind(AssertUnwindSafe(|| way.convert(key, value, insert))) {
        Ok(Err(error)) if error.is::<Unfit>() => Err(error),
        Ok(result) => result.map_err(|error| format!("the conversion says: {error}").into()),
        Err(panic) => Err(format!("the conversion panics: {}", text_of(&*panic)).into()),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

struct Dump {
    path: PathBuf,
    /// The map that it is of, if it is called after one.
    map: Option<String>,
    entries: Vec<Entry>,
    is_used: bool,
}

impl Dump {
    /// `named` is a path, or `MAP=PATH`.
    fn read(named: &Path, maps: &[&str]) -> Result<Self, TrialError> {
        let text = named.to_string_lossy();
        let (map, path) = match text.split_once('=').filter(|(map, _)| maps.contains(map)) {
            Some((map, path)) => (Some(map.to_owned()), PathBuf::from(path)),
            None => {
                let file = named.file_name().unwrap_or_default().to_string_lossy();
                (dump::map_of(&file, maps.iter().copied()).map(str::to_owned), named.to_owned())
            }
        };
        let text = fs::read_to_string(&path).map_err(|source| TrialError::Read { path: path.clone(), source })?;
        let entries = dump::parse(&text).map_err(|source| TrialError::Dump { path: path.clone(), source })?;
        Ok(Self { path, map, entries, is_used: false })
    }

    fn is_for(&self, map: &str, key_size: u32, value_size: u32) -> bool {
        let is_of = self.map.as_deref().is_none_or(|of| of == map);
        is_of && self.entries.iter().all(|entry| entry.has_sizes(key_size, value_size))
    }
}
