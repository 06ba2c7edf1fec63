//! The older lock that one is held against: what a target had at another revision, also if it lay elsewhere then.

use std::path::{Path, PathBuf};

use maplock_layout::Lock;
use maplock_layout::lock::LockedMap;

use crate::error::Error;
use crate::outcome::Side;
use crate::project::git::{self, Base, Revision};
use crate::project::{self, Target, lockfile};

/// The older side. `allow_new` is the word that it may have no lock yet.
pub(crate) fn of(target: &Target, base: &Base, allow_new: bool, notes: &mut Vec<String>) -> Result<Side, Error> {
    match base {
        Base::Revision(revision) => {
            at_revision(target, revision, git::file_at(revision, &target.lock)?, allow_new, notes)
        }
        Base::File(file) => side(file.to_string(), &git::object(file)?),
    }
}

/// The lock that a target had at another revision; an empty one, with a note, if it had none.
pub(crate) fn at_revision(
    target: &Target,
    revision: &Revision,
    bytes: Option<Vec<u8>>,
    allow_new: bool,
    notes: &mut Vec<String>,
) -> Result<Side, Error> {
    let shown = target.shown_lock();
    if let Some(bytes) = bytes {
        return side(format!("{revision}:{shown}"), &bytes);
    }
    // The targets went ways of their own since.
    if let Some(shared) = target.shared_lock()
        && let Some(bytes) = git::file_at(revision, &shared)?
    {
        let name = format!("{revision}:{}", project::shown(&shared));
        notes.push(format!("compared with {name}, which was the lock of all targets"));
        return side(name, &bytes);
    }
    let gone = git::files_gone_since(revision, &target.lock)?;
    let gone = gone.into_iter().map(|path| Gone::read(target, revision, path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(moved) = moved(target, revision, &gone, allow_new)? {
        notes.push(format!("compared with {}, which was moved", moved.path));
        return side(moved.name.clone(), &moved.bytes);
    }
    // A lock that is new beside others of that revision is one of a new package. Where there is none, most likely the wrong revision
    // was named, or the lock was never committed.
    if !allow_new && git::locks_at(revision, &target.lock)?.is_empty() {
        return Err(Error::new(format!("{revision} has no {shown}, nor any other"))
            .help("name a revision that has one, or say with --allow-new that the lock is newer"));
    }
    notes.push(format!("{revision} has no {shown}: every map is new since"));
    Ok(Side { name: revision.to_string(), ..Side::default() })
}

/// A lock that is no more where it was.
struct Gone {
    /// From the root of the repository.
    path: String,
    /// `REV:PATH`
    name: String,
    bytes: Vec<u8>,
    likeness: Likeness,
}

/// How much of an older lock is in that of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// No map of one is in the other.
    None,
    /// Some maps, or their names alone.
    Some,
    /// Most maps, with definitions that the lock of today knows.
    Same,
}

impl Gone {
    fn read(target: &Target, revision: &Revision, path: String) -> Result<Self, Error> {
        let name = format!("{revision}:{path}");
        let bytes = git::object(&name.parse()?)?;
        // The lock of today may be the one that can't be read, which is told where it is asked for.
        let today = target.read_lock().map(|(_, lock)| lock).unwrap_or_default();
        let likeness = historic(&name, &bytes).map_or(Likeness::Some, |(_, older)| Likeness::of(&older, &today));
        Ok(Self { path, name, bytes, likeness })
    }
}

impl Likeness {
    fn of(older: &Lock, today: &Lock) -> Self {
        let is_called =
            |map: &LockedMap, name: &str| map.def.name == name || map.renamed_from.iter().any(|old| old == name);
        let (mut called, mut known) = (0, 0);
        for (name, map) in &older.maps {
            let digest = map.def.digest();
            let now = today.maps.values().find(|now| is_called(now, name));
            let epochs = now.map(|now| &now.epochs).or_else(|| today.gone.get(name).map(|gone| &gone.epochs));
            let Some(epochs) = epochs else { continue };
            called += 1;
            let is_now = now.is_some_and(|now| now.def.digest() == digest);
            known += usize::from(is_now || epochs.iter().any(|epoch| epoch.from == digest || epoch.to == digest));
        }
        match (called, known) {
            (0, _) => Self::None,
            (_, known) if known > 0 && known * 2 >= older.maps.len() => Self::Same,
            _ => Self::Some,
        }
    }
}

/// The one of `gone` that became the target's lock; an error if that can't be told.
fn moved<'a>(
    target: &Target,
    revision: &Revision,
    gone: &'a [Gone],
    allow_new: bool,
) -> Result<Option<&'a Gone>, Error> {
    let same: Vec<_> = gone.iter().filter(|gone| gone.likeness == Likeness::Same).collect();
    if let [one] = same.as_slice() {
        return Ok(Some(one));
    }
    let some: Vec<_> = gone.iter().filter(|gone| gone.likeness != Likeness::None).collect();
    if some.is_empty() {
        return Ok(None);
    }
    // Git's word counts where the maps leave it open.
    if let Some(before) = git::name_before(revision, &target.lock)?
        && let Some(one) = some.iter().find(|gone| gone.path == before)
    {
        return Ok(Some(one));
    }
    if same.is_empty() && allow_new {
        return Ok(None);
    }
    let shown = target.shown_lock();
    let paths: Vec<_> = some.iter().map(|gone| gone.path.as_str()).collect();
    let (are, have) = if paths.len() == 1 { ("is", "has") } else { ("are", "have") };
    let mut error = Error::new(format!("{revision} has no {shown}, but {}, which {are} no more", paths.join(", ")))
        .because(format!("{} {have} maps that {shown} has too, and may be what it was", paths.join(", ")));
    for gone in some {
        error = error.help(format!("if it is: --against {}", project::shell_word(&gone.name)));
    }
    Err(if same.is_empty() { error.help("if the lock is new: --allow-new") } else { error })
}

/// Locks of a workspace that a revision has, that are no more, and that none of `compared` was held against: packages that vanished.
pub(crate) fn vanished(
    targets: &[Target],
    revision: &Revision,
    compared: &[String],
) -> Result<Vec<(Target, Error)>, Error> {
    let Some((target, package)) = targets.iter().find_map(|target| Some((target, target.package.as_ref()?))) else {
        return Ok(Vec::new());
    };
    let top = git::top(&target.lock)?;
    let workspace = project::absolute(&package.workspace);
    let is_retired = |path: &Path| target.config.retired.iter().any(|retired| workspace.join(retired) == path);
    let mut vanished = Vec::new();
    for path in git::locks_at(revision, &target.lock)? {
        let lock = project::absolute(&top).join(&path);
        let name = format!("{revision}:{path}");
        if lock.exists() || !lock.starts_with(&workspace) || compared.contains(&name) || is_retired(&lock) {
            continue;
        }
        let inside = lock.strip_prefix(&workspace).unwrap_or(&lock).display().to_string();
        let error = Error::new(format!("{revision} has {path}, which is no more"))
            .because("its package is gone from the workspace, and so is what is known of its maps")
            .help(format!("if it became another package: -p PACKAGE --against {}", project::shell_word(&name)))
            .help(format!("if it is given up: `retired = [\"{inside}\"]` under [workspace.metadata.maplock]"));
        let lock = PathBuf::from(project::shown(&lock));
        let config = maplock_layout::Config::default();
        let gone = Target { package: None, lock, config, objects: Vec::new(), selection: String::new() };
        vanished.push((gone, error));
    }
    Ok(vanished)
}

fn side(name: String, bytes: &[u8]) -> Result<Side, Error> {
    let (text, lock) = historic(&name, bytes)?;
    Ok(Side { name, text: Some(text), file: None, lock, ..Side::default() })
}

/// A lockfile out of git's history, where nobody can mend the ends of its lines any more.
pub(crate) fn historic(name: &str, bytes: &[u8]) -> Result<(String, Lock), Error> {
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|error| Error::new(format!("could not read {name}")).because(error))?;
    let text = text.replace("\r\n", "\n");
    let lock = lockfile::parse(name, &text)?;
    Ok((text, lock))
}
