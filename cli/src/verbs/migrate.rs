//! `cargo maplock migrate`: how entries are converted, and whether they are.

use std::fs;
use std::path::{Path, PathBuf};

use maplock_layout::conversion::Leg;
use maplock_layout::dump;
use maplock_layout::history::Converting;
use maplock_layout::lock::LockedMap;
use maplock_layout::rehearsal::{Entry, Rehearsal, Rehearsed, through};
use maplock_layout::{Lock, MapDef};
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::Said;
use crate::args::MigrateArgs;
use crate::conversion::{Conversion, How};
use crate::error::Error;
use crate::progress::Waiting;
use crate::project::{self, Target, cargo};

/// One way that entries go: over one epoch, or over all from one on.
pub(crate) struct Row {
    pub(crate) conversion: Conversion,
    pub(crate) rehearsed: Option<Rehearsed>,
    /// What could not be tried, and why.
    pub(crate) note: Option<String>,
    /// True if code is on the way, which the package's own test alone can try.
    by_code: bool,
}

/// What `migrate` tells.
pub(crate) struct Conversions {
    pub(crate) rows: Vec<Row>,
    /// True if they were to be tried.
    pub(crate) tested: bool,
}

pub(crate) fn run(args: &MigrateArgs) -> Result<Said, Error> {
    let targets = project::targets(&args.input)?;
    let mut rows = Vec::new();
    for target in &targets {
        rows.extend(of_target(args, target)?);
    }
    let fails = rows.iter().any(Row::fails);
    let text = args.message_format.tell(&Conversions { rows, tested: args.test })?;
    Ok(Said::new(text, fails, Vec::new()))
}

/// A file of entries.
struct Dump {
    path: PathBuf,
    map: String,
    entries: Vec<Entry>,
}

impl Dump {
    /// Of `--map`, or of the map that the file is called after.
    fn read(args: &MigrateArgs, target: &Target, lock: &Lock, path: &Path) -> Result<Self, Error> {
        let shown = project::shown(path);
        let failed = || Error::new(format!("could not read {shown}"));
        let text = fs::read_to_string(path).map_err(|error| failed().because(error))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let maps = lock.maps.keys().map(String::as_str);
        let of_name = || dump::map_of(&file, maps.clone());
        let map = args.map.as_deref().map_or_else(of_name, |map| maps.clone().find(|name| *name == map));
        let Some(map) = map else {
            let lock = target.shown_lock();
            let what = match &args.map {
                Some(map) => format!("{lock} has no map `{map}`"),
                None => format!("`{shown}` is not named after a map of {lock}"),
            };
            let maps = join(maps, ", ");
            return Err(Error::new(what).help(format!("its maps are {maps}: name one by --map, or the file after it")));
        };
        let help = "make it with `maplock dump PIN --message-format json`, or `bpftool -j map dump pinned PIN`";
        let entries = dump::parse(&text).map_err(|error| failed().because(error).help(help))?;
        Ok(Self { path: path.to_owned(), map: map.to_owned(), entries })
    }

    fn fits(&self, map: &str, old: &MapDef) -> bool {
        self.map == map && self.entries.iter().all(|entry| entry.has_sizes(old.key_size, old.value_size))
    }

    /// An error for one that no conversion is from.
    fn unused(&self, map: &LockedMap) -> Error {
        let sizes =
            Converting::all(map).into_iter().map(|step| format!("{} -> {}", step.old.key_size, step.old.value_size));
        let size = |entry: &Entry| format!("{} -> {}", entry.key.len(), entry.values[0].len());
        let is = self.entries.first().map_or_else(|| "nothing".to_owned(), size);
        let what = format!("{} fits no definition that map `{}` had", project::shown(&self.path), self.map);
        Error::new(what).because(format!(
            "its entries are of {is} bytes; definitions that are converted are of {}",
            join(sizes, ", ")
        ))
    }
}

fn join(parts: impl Iterator<Item = impl AsRef<str>>, between: &str) -> String {
    parts.enumerate().fold(String::new(), |text, (at, part)| text + if at > 0 { between } else { "" } + part.as_ref())
}

fn of_target(args: &MigrateArgs, target: &Target) -> Result<Vec<Row>, Error> {
    let (_, lock) = target.read_lock()?;
    let conversions = lock.maps.values().map(|map| Converting::all(map).len()).sum::<usize>();
    let waiting = Waiting::over(args.dump.len() + conversions, "Converting");
    let read = |(done, path): (usize, &PathBuf)| {
        waiting.step(done, &project::shown(path));
        Dump::read(args, target, &lock, path)
    };
    let dumps = args.dump.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    let mut is_used = vec![false; dumps.len()];
    let mut is_for_code = vec![false; dumps.len()];
    for (name, map) in &lock.maps {
        for step in Converting::all(map) {
            let mut row = Row { conversion: Conversion::of(name, &step), rehearsed: None, note: None, by_code: false };
            let own: Vec<_> = (0..dumps.len()).filter(|at| dumps[*at].fits(name, step.old)).collect();
            own.iter().for_each(|at| is_used[*at] = true);
            if args.test {
                waiting.step(dumps.len() + rows.len(), name);
                test(args, map, &step, own.iter().map(|at| &dumps[*at]), &mut row);
                own.iter().for_each(|at| is_for_code[*at] |= row.by_code);
            }
            rows.push(row);
        }
    }
    drop(waiting);
    if let Some(at) = is_used.iter().position(|used| !used) {
        return Err(dumps[at].unused(&lock.maps[&dumps[at].map]));
    }
    if rows.iter().any(|row| row.by_code) {
        let dumps = dumps.iter().zip(is_for_code).filter(|(_, is_for_code)| *is_for_code).map(|(dump, _)| dump);
        by_code(target, args, dumps, &mut rows)?;
    }
    Ok(rows)
}

/// Tries the way from this epoch to today's definition, unless code is on it.
fn test<'a>(
    args: &MigrateArgs,
    map: &LockedMap,
    step: &Converting<'_>,
    dumps: impl Iterator<Item = &'a Dump>,
    row: &mut Row,
) {
    let way = match maplock_layout::conversion::Conversion::lead(map, step.epoch.from) {
        Ok(way) => way,
        Err(error) => {
            row.by_code = matches!(row.conversion.how, How::ByHand(_));
            row.note = Some(error.to_string());
            return;
        }
    };
    let legs = way.legs.iter().map(|leg| match leg {
        Leg::Derived(leg) => Some(leg),
        Leg::ByHand { .. } => None,
    });
    let Some(legs) = legs.collect::<Option<Vec<_>>>() else {
        row.by_code = true;
        return;
    };
    let is_lossless = legs.len() == 1 && matches!(&row.conversion.how, How::Derived(derived) if derived.is_lossless());
    let rehearsal = Rehearsal {
        old: (step.old.key_size, step.old.value_size),
        new: (map.def.key_size, map.def.value_size),
        convert: &|key, value, insert| {
            let (key, value) = through(&legs, key, value)?;
            insert(&key, &value);
            Ok(())
        },
        collide: way.collide(),
        lossless: is_lossless.then_some(&legs),
    };
    let mut rehearsed = Rehearsed::default();
    rehearsal.generated(args.entries, &mut rehearsed);
    dumps.for_each(|dump| rehearsal.dumped(&dump.entries, &mut rehearsed));
    row.rehearsed = Some(rehearsed);
}

/// What the generated test tells of one way: a line of the file that `MAPLOCK_REHEARSED` names.
#[derive(Deserialize)]
struct Line {
    map: String,
    from: String,
    #[serde(flatten)]
    rehearsed: Rehearsed,
}

/// Runs the test that the build script generates for conversions that are written by hand.
fn by_code<'a>(
    target: &Target,
    args: &MigrateArgs,
    dumps: impl Iterator<Item = &'a Dump>,
    rows: &mut [Row],
) -> Result<(), Error> {
    let Some(name) = target.name() else {
        for row in rows.iter_mut().filter(|row| row.by_code) {
            row.note = Some("converted by code, which only its package can try: run this there".to_owned());
        }
        return Ok(());
    };
    let told = NamedTempFile::new().map_err(|error| Error::new("could not write a temporary file").because(error))?;
    let dumps = dumps.map(|dump| format!("{}={}", dump.map, project::absolute(&dump.path).display()));
    let mut command = cargo::command();
    command.args(["test", "-p", name]);
    let project = &args.input.project;
    if let Some(path) = &project.manifest_path {
        command.arg("--manifest-path").arg(path);
    }
    command.args(cargo::build_arguments(project));
    command.args(["maplock_migrations", "--", "--nocapture"]);
    command.env("MAPLOCK_DUMPS", join(dumps, ":")).env("MAPLOCK_REHEARSED", told.path());
    let waiting = Waiting::at("Running the conversions by code (cargo test)");
    let output = cargo::output(&mut command);
    drop(waiting);
    let lines = fs::read_to_string(told.path()).unwrap_or_default();
    let lines: Vec<Line> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut untried = Rehearsed::default();
    match output {
        Err(error) => untried.problem(format!("cargo can't be run: {error}")),
        Ok(output) if !output.status.success() => {
            let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
            let said: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            untried.problem(said[said.len().saturating_sub(12)..].join("\n"));
        }
        Ok(_) => untried.problem(
            "no test is called `maplock_migrations`: is the generated module included, with `Builder::runtime(true)`"
                .to_owned(),
        ),
    }
    for row in rows.iter_mut().filter(|row| row.by_code) {
        // Each test binary that has the module tells of it.
        let told = lines.iter().filter(|line| line.map == row.conversion.map && line.from == row.conversion.from);
        let told = told.max_by_key(|line| line.rehearsed.problems.len());
        row.rehearsed = Some(told.map_or_else(|| untried.clone(), |line| line.rehearsed.clone()));
        let how = format!("by code: `cargo test -p {name} maplock_migrations`");
        row.note = Some(if told.is_some() { format!("tried {how}") } else { format!("not tried {how} failed") });
    }
    Ok(())
}

impl Row {
    pub(crate) fn fails(&self) -> bool {
        matches!(self.conversion.how, How::Open(_))
            || self.rehearsed.as_ref().is_some_and(|test| !test.problems.is_empty())
    }
}
