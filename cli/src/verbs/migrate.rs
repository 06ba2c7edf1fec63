//! `cargo maplock migrate`: how entries are converted, and whether they are.

use std::path::PathBuf;
use std::process::Command;

use maplock_layout::history::Converting;
use maplock_layout::lock::LockedMap;

use crate::Said;
use crate::args::MigrateArgs;
use crate::conversion::{Conversion, How};
use crate::dump::{self, Entry};
use crate::error::Error;
use crate::project::{self, Target};
use crate::rehearsal::{Rehearsal, Rehearsed, stages};

/// One way that entries go: over one epoch, or over all from one on.
pub(crate) struct Row {
    pub(crate) conversion: Conversion,
    pub(crate) rehearsed: Option<Rehearsed>,
    /// What could not be tried, and why.
    pub(crate) note: Option<String>,
}

/// What `migrate` tells.
pub(crate) struct Conversions {
    pub(crate) rows: Vec<Row>,
    /// True where they were to be tried.
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
    Ok(Said { text, fails })
}

fn of_target(args: &MigrateArgs, target: &Target) -> Result<Vec<Row>, Error> {
    let (_, lock) = target.read_lock()?;
    let dumps = args.dump.iter().map(|path| dump_of(args, path)).collect::<Result<Vec<_>, _>>()?;
    if let Some((name, ..)) = dumps.iter().find(|(name, ..)| !lock.maps.contains_key(name)) {
        let known: Vec<_> = lock.maps.keys().map(String::as_str).collect();
        return Err(Error::new(format!("{} has no map `{name}`, of which a dump is given", target.shown_lock()))
            .help(format!("it has {}; say which one by --map, or by the name of the file", known.join(", "))));
    }
    let mut rows = Vec::new();
    let mut has_code = false;
    for (name, map) in &lock.maps {
        let of_map: Vec<_> =
            dumps.iter().filter(|(of, ..)| of == name).map(|(_, path, entries)| (path, entries)).collect();
        let steps = Converting::all(map);
        let mut is_used = vec![false; of_map.len()];
        for step in &steps {
            let mut row = Row { conversion: Conversion::of(name, step), rehearsed: None, note: None };
            has_code |= matches!(row.conversion.how, How::ByHand(_));
            if args.test {
                test(args, map, step, &of_map, &mut is_used, &mut row);
            }
            rows.push(row);
        }
        if let Some(at) = is_used.iter().position(|used| !used) {
            let sizes: Vec<_> =
                steps.iter().map(|step| format!("{} -> {}", step.old.key_size, step.old.value_size)).collect();
            let entry = of_map[at].1.first();
            let is = entry.map_or_else(
                || "nothing".to_owned(),
                |entry| format!("{} -> {}", entry.key.len(), entry.values[0].len()),
            );
            return Err(Error::new(format!(
                "{} is of no definition that map `{name}` had",
                project::shown(of_map[at].0)
            ))
            .because(format!(
                "its entries are of {is} bytes; definitions that are converted are of {}",
                sizes.join(", ")
            )));
        }
    }
    if args.test && has_code {
        by_code(target, args, &mut rows);
    }
    Ok(rows)
}

/// The map that a dump is of, and its entries.
fn dump_of(args: &MigrateArgs, path: &std::path::Path) -> Result<(String, PathBuf, Vec<Entry>), Error> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((args.map.clone().unwrap_or(stem), path.to_owned(), dump::read(path)?))
}

/// Tries the way from this epoch to today's definition.
fn test(
    args: &MigrateArgs,
    map: &LockedMap,
    step: &Converting<'_>,
    dumps: &[(&PathBuf, &Vec<Entry>)],
    is_used: &mut [bool],
    row: &mut Row,
) {
    let way = match maplock_layout::conversion::Conversion::lead(map, step.epoch.from) {
        Ok(way) => way,
        Err(error) => {
            row.note = Some(error.to_string());
            return;
        }
    };
    let fits = |entry: &Entry| {
        entry.key.len() == step.old.key_size as usize
            && entry.values.iter().all(|value| value.len() == step.old.value_size as usize)
    };
    let own: Vec<_> =
        dumps.iter().enumerate().filter(|(at, (_, entries))| !is_used[*at] && entries.iter().all(fits)).collect();
    for (at, _) in &own {
        is_used[*at] = true;
    }
    let Some(stages) = stages(&way.legs) else {
        row.note = Some("converted by code: tried by `cargo test`, where a package is at hand".to_owned());
        return;
    };
    let is_lossless =
        way.legs.len() == 1 && matches!(&row.conversion.how, How::Derived(derived) if derived.is_lossless());
    let rehearsal = Rehearsal { old: step.old, stages, is_lossless };
    let mut rehearsed = Rehearsed::default();
    rehearsal.generated(args.entries, &mut rehearsed);
    for (_, (_, entries)) in own {
        rehearsal.dumped(entries, &mut rehearsed);
    }
    row.rehearsed = Some(rehearsed);
}

/// Runs the test that the build script generates for conversions that are written by hand.
fn by_code(target: &Target, args: &MigrateArgs, rows: &mut [Row]) {
    let by_hand = |row: &Row| row.rehearsed.is_none();
    let Some(name) = target.name() else {
        for row in rows.iter_mut().filter(|row| by_hand(row)) {
            row.note = Some("converted by code, which only its package can try: run this there".to_owned());
        }
        return;
    };
    let paths: Vec<_> = args.dump.iter().map(|path| project::absolute(path).to_string_lossy().into_owned()).collect();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "-p", name]);
    let project = &args.input.project;
    if let Some(path) = &project.manifest_path {
        command.arg("--manifest-path").arg(path);
    }
    for features in &project.features {
        command.args(["--features", features]);
    }
    if project.all_features {
        command.arg("--all-features");
    }
    if project.no_default_features {
        command.arg("--no-default-features");
    }
    let output =
        command.args(["maplock_migrations", "--", "--nocapture"]).env("MAPLOCK_DUMPS", paths.join(":")).output();
    let mut rehearsed = Rehearsed::default();
    let note = match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let said = text.lines().filter_map(|line| line.strip_prefix("map ")).collect::<Vec<_>>().join("; ");
            if !output.status.success() {
                let end = String::from_utf8_lossy(&output.stderr);
                let failed = text.lines().chain(end.lines()).filter(|line| !line.trim().is_empty());
                let lines: Vec<_> = failed.collect();
                rehearsed.problem(lines[lines.len().saturating_sub(12)..].join("\n"));
                format!("`cargo test -p {name} maplock_migrations` failed")
            } else if said.is_empty() {
                rehearsed.problem("no test is called `maplock_migrations`: is the generated module included, with `Builder::runtime(true)`".to_owned());
                "nothing was tried".to_owned()
            } else {
                said
            }
        }
        Err(error) => {
            rehearsed.problem(format!("cargo can't be run: {error}"));
            "nothing was tried".to_owned()
        }
    };
    for row in rows.iter_mut().filter(|row| by_hand(row)) {
        row.note = Some(note.clone());
        row.rehearsed = Some(rehearsed.clone());
    }
}

impl Row {
    pub(crate) fn fails(&self) -> bool {
        matches!(self.conversion.how, How::Open(_))
            || self.rehearsed.as_ref().is_some_and(|test| !test.problems.is_empty())
    }
}
