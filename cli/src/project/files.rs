//! Objects and a lock that are no Cargo package's, with the configuration beside them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use maplock_codegen::Manifest;
use maplock_layout::Config;
use maplock_layout::config::FILE_NAME as CONFIG;
use maplock_layout::lock::FILE_NAME as LOCK;

use super::{Target, manifest, parent, shell_word, shown, target};
use crate::args::{Input, Project};
use crate::error::Error;

/// The one lock that the arguments mean, or a `maplock.toml` that was found.
pub(super) fn files_target(input: &Input, found: Option<PathBuf>) -> Result<Target, Error> {
    let dir = input.lock.as_deref().map_or_else(|| PathBuf::from("."), parent);
    let file = input.config.clone().or(found).or_else(|| Some(in_dir(&dir, CONFIG)).filter(|file| file.is_file()));
    let config = match &file {
        Some(file) => beside_manifest(file, &input.project)?,
        None => config_for_files(&input.project, None)?,
    };
    let dir = file.as_deref().map_or_else(|| PathBuf::from("."), parent);
    let lock = input.lock.clone().unwrap_or_else(|| in_dir(&dir, config.lock.as_deref().unwrap_or(LOCK)));
    let objects = match input.object.as_slice() {
        [] => config.objects.iter().map(|object| in_dir(&dir, object)).collect(),
        named => named.to_vec(),
    };
    let selection = selection(input, &lock, file.is_some());
    Ok(Target { package: None, lock, config, objects, selection })
}

/// A file that is named from `dir`.
fn in_dir(dir: &Path, file: &str) -> PathBuf {
    if dir == Path::new(".") { PathBuf::from(file) } else { dir.join(file) }
}

/// The words that mean the same lock and objects again.
fn selection(input: &Input, lock: &Path, has_config: bool) -> String {
    let word = |path: &Path| shell_word(&path.to_string_lossy());
    let mut selection = String::new();
    if !input.object.is_empty() {
        selection.push_str(" --object ");
        let words = || input.object.iter().map(|object| word(object)).collect::<Vec<_>>().join(" ");
        selection.push_str(&pattern(&input.object).unwrap_or_else(words));
    }
    if input.lock.is_some() || !has_config {
        selection.push_str(&format!(" --lock {}", word(lock)));
    }
    for (option, path) in [("--config", &input.config), ("--manifest-path", &input.project.manifest_path)] {
        if let Some(path) = path {
            selection.push_str(&format!(" {option} {}", word(path)));
        }
    }
    selection
}

/// A pattern that a shell makes exactly these objects of, if they are many: all files of their directory with their ending.
fn pattern(objects: &[PathBuf]) -> Option<String> {
    const MANY: usize = 3;
    let [first, ..] = objects else { return None };
    let dir = first.parent()?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let named: BTreeSet<_> =
        objects.iter().filter(|object| object.parent() == Some(dir)).filter_map(|path| name(path)).collect();
    if named.len() < MANY || named.len() != objects.len() {
        return None;
    }
    let dir_word = match dir.to_string_lossy() {
        dir if dir.is_empty() => String::new(),
        dir => format!("{}/", shell_word(dir.trim_end_matches('/'))),
    };
    [".bpf.o", ".o"].into_iter().find_map(|ending| {
        let listed = std::fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }).ok()?;
        let listed = listed.flatten().filter_map(|entry| name(&entry.path()));
        let listed: BTreeSet<_> = listed.filter(|name| name.ends_with(ending) && !name.starts_with('.')).collect();
        (listed == named).then(|| format!("{dir_word}*{ending}"))
    })
}

/// What the `maplock.toml` says, which lies beside the lock or was named; with the workspace's say if it is a Cargo package's.
fn beside_manifest(file: &Path, project: &Project) -> Result<Config, Error> {
    let Some(manifest) = &project.manifest_path else { return read(file) };
    if super::absolute(&parent(manifest)) == super::absolute(&parent(file)) {
        return super::config(&parent(manifest));
    }
    let both = format!("both {} and {} say what is true of this lock", shown(file), shown(manifest));
    Err(Error::new(both).help("leave out --manifest-path"))
}

/// What a `maplock.toml` says.
pub(crate) fn read(file: &Path) -> Result<Config, Error> {
    let read = Manifest::read_file(file);
    Ok(read.map_err(|problem| Error::new("could not use the configuration").because(problem))?.config)
}

/// The configuration for files that were named: the rules' own levels, unless a `maplock.toml` or a project is named as well.
pub(crate) fn config_for_files(project: &Project, file: Option<&Path>) -> Result<Config, Error> {
    match (file, &project.manifest_path) {
        (Some(file), _) => read(file),
        _ if !project.package.is_empty() => {
            let project = Project {
                manifest_path: project.manifest_path.clone(),
                package: project.package.clone(),
                ..Project::default()
            };
            Ok(target(&Input { project, ..Input::default() })?.config)
        }
        (None, Some(_)) => {
            let manifest = manifest(project)?;
            manifest.map_or_else(|| Ok(Config::default()), |manifest| super::config(&parent(&manifest)))
        }
        (None, None) => Ok(Config::default()),
    }
}
