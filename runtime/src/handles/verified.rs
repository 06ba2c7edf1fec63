//! From a pin, or a descriptor, to a map whose layout was verified.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maplock_layout::config::Levels;
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map_type::Kind;
use maplock_layout::rules::Compares;
use maplock_layout::{Finding, Lock, MapDef, compare};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::live::Generation;
use crate::generation::meta::{self, Meta};
use crate::generation::names::pin_name;
use crate::generation::origin::Origin;
use crate::generation::records::{self, Unfinished};
use crate::generation::site::Site;
use crate::inspect::normalise::{Node, attributes_agree, normalise};
use crate::inspect::{Layouts, Source, observe, with_version};
use crate::plan::spec::Spec;
use crate::plan::{lacks_layout, same_but_for_capacity};
use crate::sys::Map;
use crate::sys::privileges::BY_ID;
use crate::upgrade::stage::Staged;

/// A map that was held against its definition in a spec: what its bytes mean is known. Its capacity may be another, and is the
/// kernel's to tell.
#[derive(Debug)]
pub struct Verified {
    name: String,
    map: Map,
    origin: Option<Origin>,
}

/// A typed handle. Its types must be those of the definition, which the generated module sees to; their sizes, and the map's
/// type, are checked.
pub trait Handle: Sized {
    /// The handle of a map.
    ///
    /// # Errors
    /// If the map is of another type, or its keys or values have other sizes.
    fn from_verified(map: Verified) -> Result<Self, Error>;
}

impl Deref for Verified {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.map
    }
}

impl Verified {
    /// The map `name` of a spec that is pinned at `path`.
    ///
    /// # Errors
    /// If it can't be opened, is not what the spec says, or its layout is unknown: neither BTF nor a `maplock_meta` beside it.
    pub fn open(spec: &Spec, name: &str, path: &Path) -> Result<Self, Error> {
        let locked = locked(spec, name)?;
        let map = Map::open(path).map_err(|error| cannot_open(name, path, error))?;
        let dir = path.parent().unwrap_or(Path::new("."));
        let (meta, generation) = generation_in(dir);
        let at = At { path: Some(path), pin: path };
        at.verify(locked, &map, meta.as_ref(), &mut Layouts::default())?;
        // Exchanged in between, or somebody else's.
        let is_its = meta.as_ref().is_none_or(|meta| names(meta, &pin_name(name)) == Some(map.info().id));
        let origin = generation.filter(|_| is_its).map(|generation| Origin::new(dir, Some(generation)));
        Ok(Self { name: name.to_owned(), map, origin })
    }

    /// The map `name` of a spec behind a descriptor, such as one that aya or libbpf has loaded.
    ///
    /// # Errors
    /// As [`Self::open`]; of a map whose type keeps no BTF, nothing tells the layout.
    pub fn of_fd(spec: &Spec, name: &str, fd: impl AsFd) -> Result<Self, Error> {
        let locked = locked(spec, name)?;
        let map = of_fd(name, fd)?;
        let pin = PathBuf::from(pin_name(name));
        At { path: None, pin: &pin }.verify(locked, &map, None, &mut Layouts::default())?;
        Ok(Self { name: name.to_owned(), map, origin: None })
    }

    /// As [`Self::of_fd`], if the caller vouches for the layout: the map was made by a loader from just the object that the spec
    /// was made of. Type, sizes and flags are checked.
    ///
    /// # Errors
    /// If one of these is not what the spec says.
    pub fn of_fd_unverified(spec: &Spec, name: &str, fd: impl AsFd) -> Result<Self, Error> {
        let def = &locked(spec, name)?.def;
        let map = of_fd(name, fd)?;
        let info = map.info();
        let observed = MapDef {
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.flags,
            map_extra: info.map_extra,
            ..MapDef::new(name, info.map_type)
        };
        if !attributes_agree(&observed, def, this_node()?) {
            let shown = |def: &MapDef| {
                let MapDef { map_type, key_size, value_size, flags, .. } = def;
                format!("{map_type}, {key_size} -> {value_size} bytes, flags {flags:#x}")
            };
            let message = format!("map `{name}` is a {}, and this release has a {}", shown(&observed), shown(def));
            return Err(Error::new(ErrorKind::Layout, message));
        }
        Ok(Self { name: name.to_owned(), map, origin: None })
    }

    /// The map `name` of a staged generation, which was made or checked by the plan.
    ///
    /// # Errors
    /// If the generation was staged from another spec.
    pub fn of_staged(spec: &Spec, name: &str, staged: &Staged) -> Result<Self, Error> {
        locked(spec, name)?;
        let plan = staged.plan().maps.iter().find(|plan| plan.map == name);
        match staged.map(name) {
            Some(map) if plan.and_then(|plan| plan.action.new_map()).map(|new| new.digest) == spec.digest(name) => {
                let map = map.try_clone().trying(|| format!("can't use the staged map `{name}`"))?;
                Ok(Self { name: name.to_owned(), map, origin: Some(staged.origin()) })
            }
            staged => {
                let what = if staged.is_some() { "another map of that name" } else { "no map of that name" };
                let message = format!("map `{name}`: this generation was staged from another spec, which has {what}");
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }

    /// Its name in the spec.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The generation that it was opened from, if that is known.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Makes sure that a handle fits: the type, and the sizes of a key and a value, with whether there is one for each CPU.
    pub(super) fn check(
        &self,
        handle: &str,
        kind: Option<Kind>,
        key: Option<usize>,
        value: Option<(usize, bool)>,
    ) -> Result<(), Error> {
        let info = self.map.info();
        let fail = |problem: String| {
            let message = format!("map `{}` can't be used as a `{handle}`: {problem}", self.name);
            Err(Error::new(ErrorKind::Usage, message))
        };
        if kind.is_some_and(|kind| info.map_type.row().kind != kind) {
            return fail(format!("it is of type {}", info.map_type));
        }
        let sizes = [("key", key, info.key_size), ("value", value.map(|(size, _)| size), info.value_size)];
        for (what, size, is) in sizes {
            if let Some(size) = size.filter(|size| *size != is as usize) {
                return fail(format!("its {what} has {is} bytes, and the {what}'s type {size}"));
            }
        }
        let per_cpu = info.map_type.is_per_cpu();
        match value {
            Some((_, asked)) if asked && !per_cpu => {
                fail(format!("it has one value for all CPUs, being a {}", info.map_type))
            }
            Some((_, asked)) if per_cpu && !asked => {
                fail(format!("it has a value for each CPU, being a {}", info.map_type))
            }
            _ => Ok(()),
        }
    }
}

/// The pinned maps of a spec, all of one generation: the directory is held open, so that an exchange in the meantime does not
/// mix them, and pins that are renamed one by one are told by their meta map.
#[derive(Debug)]
pub struct Directory<'s> {
    spec: &'s Spec,
    dir: PathBuf,
    meta: Option<Meta>,
    origin: Origin,
    layouts: Layouts,
    maps: BTreeMap<&'s str, Map>,
}

/// How long, and at least how often, pins are looked at that are being renamed one by one, and how long is waited in between.
const LOOKS: (Duration, u32, Duration) = (Duration::from_millis(200), 10, Duration::from_millis(2));

impl<'s> Directory<'s> {
    /// Opens all pins of the spec's maps in `dir`. If pins are renamed one by one at this moment, it waits for about a fifth of a second.
    ///
    /// # Errors
    /// If one is missing, or can't be opened. [`ErrorKind::Busy`] if the pins stay those of two generations, as whoever renames them is slow
    /// or was killed; [`ErrorKind::Place`] if somebody else pinned a map under the name of one of the generation's.
    pub fn open(spec: &'s Spec, dir: &Path) -> Result<Self, Error> {
        let (most, least, pause) = LOOKS;
        let began = Instant::now();
        let (mut looks, mut before) = (1, None);
        loop {
            let found = Self::look(spec, dir);
            let now = (is_moving(dir), Generation::at(dir).ok().flatten());
            // What is there is what stays there only if no generation came in between.
            let is_still = before.replace(now) == Some(now);
            let is_moving = if is_still { now.0 } else { Some(true) };
            let error = match found {
                Ok(found) => match found.of_another_generation(now.0 == Some(true)) {
                    Some(other) => found.mixed(other, is_moving),
                    None => return Ok(found),
                },
                // It may be on its way.
                Err(error) if error.kind() == ErrorKind::Place && is_moving == Some(true) => {
                    let message = format!("the pins in `{}` are renamed one by one, or were, {SLOW}", dir.display());
                    Error::because(ErrorKind::Busy, message, error)
                }
                Err(error) => return Err(error),
            };
            if is_moving == Some(false) || looks >= least && began.elapsed() > most {
                return Err(error);
            }
            looks += 1;
            std::thread::sleep(pause);
        }
    }

    fn look(spec: &'s Spec, dir: &Path) -> Result<Self, Error> {
        let held = File::open(dir).trying(|| format!("can't open directory `{}`", dir.display()))?;
        // Leads to the directory itself, whatever it is called by now.
        let within = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        let mut maps = BTreeMap::new();
        for LockedMap { def, .. } in spec.maps() {
            let pin = pin_name(&def.name);
            let map = Map::open(&within.join(&pin));
            maps.insert(def.name.as_str(), map.map_err(|error| cannot_open(&def.name, &dir.join(&pin), error))?);
        }
        let (meta, generation) = generation_in(&within);
        let mut layouts = Layouts::default();
        layouts.read(maps.values().map(Map::info));
        Ok(Self { spec, dir: dir.to_owned(), meta, origin: Origin::new(dir, generation), layouts, maps })
    }

    /// A map that is not of the generation that the meta map tells of, which names another, or none while pins are renamed.
    fn of_another_generation(&self, is_moving: bool) -> Option<&'s str> {
        let meta = self.meta.as_ref()?;
        for (name, map) in &self.maps {
            let is_its = match names(meta, &pin_name(name)) {
                Some(id) => id == map.info().id,
                // It is no part of a generation, unless it was moved there just now.
                None => !is_moving && self.origin.is_live().unwrap_or(false),
            };
            if !is_its {
                return Some(name);
            }
        }
        None
    }

    fn mixed(&self, other: &str, is_moving: Option<bool>) -> Error {
        let dir = self.dir.display();
        let of = self.meta.as_ref().map_or_else(String::new, |meta| format!(" {}", meta.generation));
        let see = format!("see what is there: maplock inspect {dir}");
        let (kind, message) = match is_moving {
            Some(true) => (
                ErrorKind::Busy,
                format!("the pins in `{dir}` are of two generations: map `{other}` is not of generation{of}, {SLOW}"),
            ),
            Some(false) => (
                ErrorKind::Place,
                format!(
                    "map `{other}`, pinned in `{dir}`, is not the one that generation{of} has under that name: somebody else pinned \
                     it; {see}"
                ),
            ),
            None => (
                ErrorKind::Busy,
                format!(
                    "map `{other}`, pinned in `{dir}`, is not the one that generation{of} has under that name: an upgrade that renames \
                     pins one by one goes on or was killed, or somebody else pinned it; {see}"
                ),
            ),
        };
        Error::new(kind, message)
    }

    /// The generation that they are of.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The handle of one of them.
    ///
    /// # Errors
    /// As [`Verified::open`].
    pub fn map<H: Handle>(&mut self, name: &str) -> Result<H, Error> {
        let locked = locked(self.spec, name)?;
        let Some(map) = self.maps.remove(name) else {
            return Err(Error::new(ErrorKind::Usage, format!("map `{name}` was taken already")));
        };
        let pin = self.dir.join(pin_name(name));
        At { path: Some(&pin), pin: &pin }.verify(locked, &map, self.meta.as_ref(), &mut self.layouts)?;
        H::from_verified(Verified { name: name.to_owned(), map, origin: Some(self.origin.clone()) })
    }
}

/// What to say of pins that are being renamed one by one.
const SLOW: &str = "as an upgrade that renames them is slow, or was killed: the next start of the daemon completes it";

/// True while the pins of a directory are renamed one by one, or after whoever did so was killed. `None` if that can't be seen from here: what
/// is staged lies beside the directory, which a bind mount does not show.
fn is_moving(dir: &Path) -> Option<bool> {
    let site = Site::at(dir).ok()?.as_found().ok()?;
    let unfinished = records::unfinished(&site).ok()?;
    let is_moving = matches!(unfinished, Some(Unfinished::Switching { is_moving: true, .. }));
    (is_moving || !site.is_root).then_some(is_moving)
}

/// The meta map in a directory, and the generation that it is of. What is wrong with it is told where it is needed.
fn generation_in(dir: &Path) -> (Option<Meta>, Option<Generation>) {
    let path = dir.join(meta::NAME);
    match Map::open(&path) {
        Ok(map) => match Meta::read_from(&map, &path) {
            Ok(meta) => {
                let generation = Generation::of(&meta, &map);
                (Some(meta), Some(generation))
            }
            Err(_) => (None, Generation::at(dir).ok().flatten()),
        },
        Err(_) => (None, Generation::at(dir).ok().flatten()),
    }
}

/// The number of the map that a generation has under that pin.
fn names(meta: &Meta, pin: &str) -> Option<u32> {
    meta.maps.iter().find(|(name, _)| pin_name(name) == pin).map(|(_, map)| map.id)
}

fn locked<'s>(spec: &'s Spec, name: &str) -> Result<&'s LockedMap, Error> {
    spec.map(name).ok_or_else(|| Error::new(ErrorKind::Usage, format!("the spec has no pinned map `{name}`")))
}

fn of_fd(name: &str, fd: impl AsFd) -> Result<Map, Error> {
    let fd = fd.as_fd().try_clone_to_owned();
    fd.and_then(Map::from_fd).trying(|| format!("map `{name}`: the descriptor can't be used"))
}

fn this_node() -> Result<Node, Error> {
    Node::this().trying(|| "can't look at this machine".to_owned())
}

fn cannot_open(name: &str, path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        let dir = path.parent().unwrap_or(path).display();
        let message =
            format!("map `{name}` is not pinned at `{}`; `maplock inspect {dir}` shows what is", path.display());
        return Error::new(ErrorKind::Place, message);
    }
    Error::kernel(format!("can't open map `{name}` at `{}`", path.display()), error)
}

/// Where a map was found.
struct At<'a> {
    /// Its pin, for people.
    path: Option<&'a Path>,
    /// What its pin is called.
    pin: &'a Path,
}

impl At<'_> {
    fn verify(&self, locked: &LockedMap, map: &Map, meta: Option<&Meta>, layouts: &mut Layouts) -> Result<(), Error> {
        let def = &locked.def;
        let observed = observe(self.pin, map, meta, layouts)?;
        // The capacity is no part of the layout.
        let node = this_node()?;
        let (counted, _) = with_version(&observed, locked, node);
        let old = MapDef { max_entries: def.max_entries, ..normalise(&counted, def, node) };
        if same_but_for_capacity(&old, def) || old.digest() == def.digest() {
            return Ok(());
        }
        if lacks_layout(&old, def) {
            if let Some(problem) = observed.problem.as_ref().filter(|_| observed.is_denied) {
                let at = self.path.map_or_else(String::new, |path| format!(", pinned at `{}`,", path.display()));
                return Err(Error::needs(BY_ID, format!("map `{}`{at} can't be verified: {problem}", def.name)));
            }
            let why = match (&observed.problem, observed.source) {
                (Some(problem), _) => problem.clone(),
                (None, Source::Attributes) if self.path.is_none() => "it has no BTF".to_owned(),
                (None, Source::Attributes) => "it has no BTF, and there is no `maplock_meta` that names it".to_owned(),
                (None, _) => "only a part of it is known".to_owned(),
            };
            let problem = format!("can't be verified: its layout is unknown: {why}");
            let vouch = "whoever made it from the object of this release may vouch for it by `of_fd_unverified`";
            return Err(self.error(&def.name, &problem, vouch));
        }
        let one = |def: MapDef| {
            let locked = LockedMap { def, ..locked.clone() };
            Lock { maps: BTreeMap::from([(locked.def.name.clone(), locked)]), ..Lock::default() }
        };
        let bare = Lock { maps: BTreeMap::from([(def.name.clone(), LockedMap::new(old))]), ..Lock::default() };
        let comparison = compare(&bare, &one(def.clone()), &Levels::default());
        let keeps_bytes = |finding: &Finding| !finding.needs_decision() || finding.accepted == Some(OnUpgrade::Reuse);
        let mut findings = comparison.findings;
        findings.retain(|finding| finding.rule.effect.compares == Compares::Releases);
        let is_reuse = comparison.maps.first().is_some_and(|verdict| verdict.answer == OnUpgrade::Reuse);
        if is_reuse && findings.iter().all(keeps_bytes) {
            return Ok(());
        }
        findings.retain(|finding| !keeps_bytes(finding));
        let accepted = findings.first().and_then(|finding| finding.accepted);
        let mut told = match findings.first() {
            Some(finding) => told(finding),
            None => "it differs".to_owned(),
        };
        match findings.len() {
            0 | 1 => {}
            2 => told.push_str(", and 1 more difference"),
            more => told.push_str(&format!(", and {} more differences", more - 1)),
        }
        if let Some(on_upgrade) = accepted {
            told.push_str(&format!("; the lock says to {on_upgrade} it, which no upgrade has done yet"));
        }
        let problem = format!("is not what this release was built with: {told}");
        Err(self.error(&def.name, &problem, "load the object that this release was built with"))
    }

    /// `for_fd` is what to do next about a map that is no pin.
    fn error(&self, name: &str, problem: &str, for_fd: &str) -> Error {
        let (at, next) = match self.path {
            Some(path) => {
                let dir = path.parent().unwrap_or(path).display();
                let next = format!("see `maplock plan --lock maps.lock --pins {dir}`");
                (format!(", pinned at `{}`,", path.display()), next)
            }
            None => (String::new(), for_fd.to_owned()),
        };
        let message = format!("map `{name}`{at} {problem}; {next}");
        Error::new(ErrorKind::Layout, message)
    }
}

/// A finding with both sides, in words.
fn told(finding: &Finding) -> String {
    let (old, new) = (finding.old_with_place(), finding.new_with_place());
    format!("{}: {} (`{}` here: {new}; in the map: {old})", finding.rule.id, finding.message(), finding.path())
}
