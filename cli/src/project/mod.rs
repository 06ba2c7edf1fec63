//! Which locks a command is about, and where the maps that they should hold come from.

pub(crate) mod cargo;
mod files;
pub(crate) mod git;
pub(crate) mod lockfile;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

pub(crate) use files::config_for_files;
use maplock_codegen::{Inputs, Manifest, object_name};
use maplock_layout::lock::FILE_NAME;
use maplock_layout::{Config, Lock, config};

use crate::args::{Input, Project};
use crate::error::Error;

/// One lock.
#[derive(Debug)]
pub(crate) struct Target {
    /// The Cargo package, unless files were named.
    pub(crate) package: Option<cargo::Package>,
    /// The lockfile.
    pub(crate) lock: PathBuf,
    /// The configuration that applies.
    pub(crate) config: Config,
    /// The objects that were named.
    pub(crate) objects: Vec<PathBuf>,
    /// What selects this target among others on the command line, with a space before it.
    pub(crate) selection: String,
}

impl Target {
    /// The path of the lock as a person would write it.
    pub(crate) fn shown_lock(&self) -> String {
        shown(&self.lock)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.package.as_ref().map(|package| package.name.as_str())
    }

    /// True if all packages of the workspace were asked for.
    pub(crate) fn is_one_of_all(&self) -> bool {
        self.package.as_ref().is_some_and(|package| package.is_one_of_all)
    }

    /// The lock, which must be there.
    pub(crate) fn read_lock(&self) -> Result<(String, Lock), Error> {
        let text = lockfile::read(&self.lock)?.ok_or_else(|| self.no_lock())?;
        let lock = lockfile::parse(&self.shown_lock(), &text)?;
        Ok((text, lock))
    }

    pub(crate) fn no_lock(&self) -> Error {
        Error::new(format!("{} does not exist", self.shown_lock()))
            .help(format!("`cargo maplock init{}` writes the first", self.selection))
    }

    /// The lock of all targets, if this one has its own.
    pub(crate) fn shared_lock(&self) -> Option<PathBuf> {
        let shared = parent(&self.lock).join(FILE_NAME);
        (!self.config.targets.is_empty() && shared != self.lock).then_some(shared)
    }

    /// Directories to which the paths of sources may be relative; reports show paths from the first.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        let dir = self.package.as_ref().map_or_else(|| parent(&self.lock), |package| package.dir.clone());
        let mut roots: Vec<PathBuf> = env::current_dir().into_iter().collect();
        roots.extend(repository(&dir));
        if let Some(package) = &self.package {
            roots.push(package.workspace.clone());
        }
        roots.push(dir);
        roots
    }
}

/// The locks that the arguments select: at least one.
pub(crate) fn targets(input: &Input) -> Result<Vec<Target>, Error> {
    if !input.object.is_empty() || input.lock.is_some() || input.config.is_some() {
        return Ok(vec![files::files_target(input, None)?]);
    }
    match home(&input.project)? {
        Some(Home::Cargo(manifest)) => package_targets(&manifest, &input.project),
        Some(Home::File(file)) => Ok(vec![files::files_target(input, Some(file))?]),
        None if Path::new(FILE_NAME).exists() => Ok(vec![files::files_target(input, None)?]),
        None => {
            let nothing = format!("no Cargo.toml and no {} here or in a directory above", config::FILE_NAME);
            Err(Error::new(nothing).help("without Cargo, name the objects and the lock: `--object FILE.. --lock FILE`"))
        }
    }
}

/// The one lock that the arguments select.
pub(crate) fn target(input: &Input) -> Result<Target, Error> {
    let mut targets = targets(input)?;
    match targets.pop() {
        Some(target) if targets.is_empty() => Ok(target),
        last => {
            targets.extend(last);
            let names: Vec<_> = targets.iter().filter_map(Target::name).collect();
            Err(Error::new(format!("several packages have pinned maps: {}", names.join(", ")))
                .help("choose one with -p"))
        }
    }
}

/// The objects of one target, read.
pub(crate) fn inputs_of(target: &Target, project: &Project) -> Result<Inputs, Error> {
    inputs(&[target], project)?.pop().unwrap_or_else(|| Err(Error::new("there are no objects")))
}

/// The objects of each target, read. What can't be had of one hinders no other.
pub(crate) fn inputs(targets: &[&Target], project: &Project) -> Result<Vec<Result<Inputs, Error>>, Error> {
    let packages: Vec<_> = targets.iter().filter_map(|target| target.package.as_ref()).collect();
    let mut built = cargo::objects(&packages, project)?.into_iter();
    let inputs = targets
        .iter()
        .map(|target| {
            let objects = match &target.package {
                Some(_) => built.next().unwrap_or_else(|| Ok(Vec::new()))?,
                None if target.objects.is_empty() => {
                    let help =
                        format!("name it: `--object FILE`, or `objects = [\"FILE\"]` in a {}", config::FILE_NAME);
                    return Err(Error::new("no object to read the maps from").help(help));
                }
                None => named(&target.objects),
            };
            // One that can't be read is told where it is asked for.
            let text = lockfile::read(&target.lock).ok().flatten().unwrap_or_default();
            // `update` mends the ends of lines.
            let lock = Lock::parse(&text.replace("\r\n", "\n")).unwrap_or_default();
            let mut inputs = read_after(&objects, &target.config, &lock)?;
            let dir = target.package.as_ref().map_or_else(|| parent(&target.lock), |package| package.dir.clone());
            inputs.find_sources(&dir, &BTreeMap::new(), &[]);
            Ok(inputs)
        })
        .collect();
    Ok(inputs)
}

/// Reads objects, each with its name.
pub(crate) fn read(objects: &[(String, PathBuf)], config: &Config) -> Result<Inputs, Error> {
    read_after(objects, config, &Lock::default())
}

/// Reads objects, each with its name, that come after what `lock` holds.
pub(crate) fn read_after(objects: &[(String, PathBuf)], config: &Config, lock: &Lock) -> Result<Inputs, Error> {
    Inputs::read_after(objects, config, lock).map_err(|error| {
        if error.path.as_os_str().is_empty() {
            Error::new("could not use the configuration").because(error.problem)
        } else {
            Error::new(format!("could not read the maps of {}", shown(&error.path))).because(error.problem)
        }
    })
}

/// Objects with the names that reports give them: their files', or their paths if files are named alike.
pub(crate) fn named(paths: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let names: Vec<_> = paths.iter().map(|path| object_name(path)).collect();
    let is_unique = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
    let name = |(path, name): (&PathBuf, &String)| if is_unique(name) { name.clone() } else { shown(path) };
    paths.iter().zip(&names).map(|both| (name(both), both.0.clone())).collect()
}

fn package_targets(manifest: &Path, project: &Project) -> Result<Vec<Target>, Error> {
    let packages = cargo::select(manifest, project)?;
    let several = packages.len() > 1 || !project.package.is_empty();
    packages
        .into_iter()
        .map(|package| {
            let mut selection = String::new();
            if let Some(path) = &project.manifest_path {
                selection.push_str(&format!(" --manifest-path {}", shell_word(&path.to_string_lossy())));
            }
            if several || project.workspace {
                selection.push_str(&format!(" -p {}", package.name));
            }
            for argument in cargo::build_arguments(project) {
                selection.push(' ');
                selection.push_str(&shell_word(&argument));
            }
            let config = config(&package.dir)?;
            let lock_name = match config.targets.is_empty() {
                true => FILE_NAME.to_owned(),
                false => config.lock_name(&cargo::target_arch(project)?),
            };
            let lock = package.dir.join(lock_name);
            Ok(Target { package: Some(package), lock, config, objects: Vec::new(), selection })
        })
        .collect()
}

/// The manifest that was named, or the nearest.
fn manifest(project: &Project) -> Result<Option<PathBuf>, Error> {
    Ok(home(project)?.and_then(|home| match home {
        Home::Cargo(manifest) => Some(manifest),
        Home::File(_) => None,
    }))
}

/// What says what is true of the maps here.
pub(crate) enum Home {
    /// A `Cargo.toml`.
    Cargo(PathBuf),
    /// A `maplock.toml`, without a `Cargo.toml` beside it.
    File(PathBuf),
}

/// The manifest that was named, or the nearest of both kinds.
pub(crate) fn home(project: &Project) -> Result<Option<Home>, Error> {
    if let Some(path) = &project.manifest_path {
        return match path.is_file() {
            true => Ok(Some(Home::Cargo(path.clone()))),
            false => Err(Error::new(format!("no manifest at {}", path.display())).help("name a Cargo.toml")),
        };
    }
    let here = env::current_dir().map_err(|error| Error::new("could not tell the current directory").because(error))?;
    let means_cargo = project.workspace || !project.package.is_empty();
    Ok(here.ancestors().find_map(|dir| {
        let manifest = Some(dir.join("Cargo.toml")).filter(|path| path.is_file());
        let file = Some(dir.join(config::FILE_NAME)).filter(|path| !means_cargo && path.is_file());
        manifest.map(Home::Cargo).or(file.map(Home::File))
    }))
}

/// What the manifest in `dir`, and that of its workspace, say of maplock.
pub(crate) fn config(dir: &Path) -> Result<Config, Error> {
    // The workspace's manifest is looked for in the directories above, of which a relative path may not tell.
    let dir = absolute(dir);
    let read = Manifest::read(&dir).map_err(|problem| Error::new("could not use the configuration").because(problem));
    Ok(read?.config)
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The directory of a file.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The root of the git repository around `dir`.
pub(crate) fn repository(dir: &Path) -> Option<PathBuf> {
    absolute(dir).ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_owned)
}

/// A path as a person would write it: relative to the current directory, unless that is far off.
pub(crate) fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    let relative =
        if path.is_absolute() { relative(path, &here) } else { path.strip_prefix(".").ok().map(Path::to_owned) };
    relative.unwrap_or_else(|| path.to_owned()).display().to_string()
}

/// `path` seen from `here`, over at most three directories up and never by way of the root.
fn relative(path: &Path, here: &Path) -> Option<PathBuf> {
    let common = here.ancestors().take(4).find(|dir| dir.parent().is_some() && path.starts_with(dir))?;
    let up = here.strip_prefix(common).ok()?.components().map(|_| "..");
    Some(up.collect::<PathBuf>().join(path.strip_prefix(common).ok()?))
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./,:=@+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
