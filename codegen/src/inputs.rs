//! The objects of a package, read from their files and put together.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use maplock_layout::map::Origin;
use maplock_layout::rules::Attribute;
use maplock_layout::{Change, Config, Finding, Lock, MapDef, ObjectMaps, Observation, observe_after};

use crate::object_file::{Locations, Object, Programs, SourceLine, TypesObject};
use crate::owner;
use crate::source_text::SourceText;

/// Objects and what they define.
#[derive(Debug, Default)]
pub struct Inputs {
    objects: Vec<InputObject>,
    /// The maps of all objects together.
    pub observation: Observation,
}

/// One object's file.
#[derive(Debug)]
pub struct InputObject {
    /// How reports name it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// All maps that it defines, with the types that the configuration binds to them.
    pub maps: Vec<MapDef>,
    /// What its programs do with them.
    pub programs: Programs,
    bytes: Vec<u8>,
    /// Read when the first line is asked for: a report asks for thousands.
    locations: OnceLock<Locations>,
    /// The text of its C sources, if it has no DWARF to tell lines.
    sources: SourceText,
}

/// Where projects keep the C source of an object, from the package; the first is libbpf-cargo's.
const SOURCE_FOLDERS: [&str; 5] = ["src/bpf", "bpf", "src", "ebpf", ""];

/// An object that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The file; empty for an error that is about all of them.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.as_os_str().is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.path.display(), self.problem)
        }
    }
}

impl std::error::Error for InputError {}

impl Inputs {
    /// Reads objects, each with the name that reports give it, if there is no lock as yet.
    ///
    /// # Errors
    /// If a file can't be read or understood, or the configuration does not fit it.
    pub fn read(objects: &[(String, PathBuf)], config: &Config) -> Result<Self, InputError> {
        Self::read_after(objects, config, &Lock::default())
    }

    /// As [`Self::read`], for a lock that is there: maps that count as pinned in it still count.
    ///
    /// # Errors
    /// As there.
    pub fn read_after(objects: &[(String, PathBuf)], config: &Config, lock: &Lock) -> Result<Self, InputError> {
        let files = config.types.iter().map(|path| Ok((Path::new(path), read(Path::new(path))?)));
        let files: Vec<_> = files.collect::<Result<_, InputError>>()?;
        let types = files.iter().map(|(path, bytes)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let fail = |error| InputError { path: path.into(), problem: format!("named in `types`: {error}") };
            TypesObject::parse(name, bytes).map_err(fail)
        });
        let types: Vec<_> = types.collect::<Result<_, _>>()?;
        let objects = objects
            .iter()
            .map(|(name, path)| InputObject::read(name.clone(), path.clone(), config, &types))
            .collect::<Result<Vec<_>, _>>()?;
        let maps: Vec<_> = objects.iter().map(InputObject::defined).collect();
        let home = config.home.as_deref().unwrap_or("Cargo.toml");
        let mut observation = observe_after(&maps, config, lock)
            .map_err(|error| InputError { path: PathBuf::new(), problem: format!("{home}: {error}") })?;
        for (map, owner) in config.bindings.iter().filter_map(|(map, binding)| Some((map, binding.owner.as_ref()?))) {
            let of_map = objects.iter().filter(|object| object.maps.iter().any(|def| def.name == *map));
            let names: Vec<_> = of_map.map(|object| object.name.as_str()).collect();
            owner::hold(&mut observation, map, Path::new(owner), &names.join(", "))?;
        }
        Ok(Self { objects, observation })
    }

    /// Gives objects without DWARF their lines from C sources: from those in `named`, by the object's name, or else from
    /// the file of the object's name in a folder where `package` would have it, and from what that includes. `folders` are
    /// where includes are looked for. Returns the files.
    pub fn find_sources(
        &mut self,
        package: &Path,
        named: &BTreeMap<String, Vec<PathBuf>>,
        folders: &[PathBuf],
    ) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for object in &mut self.objects {
            if !object.locations().is_empty() {
                continue;
            }
            let name = object_name(&object.path);
            let usual = || {
                let files = SOURCE_FOLDERS.iter().flat_map(|folder| {
                    [".bpf.c", ".c"].map(|ending| package.join(folder).join(format!("{name}{ending}")))
                });
                files.into_iter().find(|file| file.is_file()).into_iter().collect()
            };
            let own = named.get(&object.name).cloned().filter(|own| !own.is_empty()).unwrap_or_else(usual);
            object.sources = SourceText::read(&own, folders);
            files.extend(object.sources.paths().map(Path::to_owned));
        }
        files
    }

    /// The objects, in the order in which they were given.
    #[must_use]
    pub fn objects(&self) -> &[InputObject] {
        &self.objects
    }

    /// Where `path` of `map`, or an `attribute` of its declaration, is written in the sources.
    #[must_use]
    pub fn locate(&self, map: &str, path: &str, attribute: Option<Attribute>) -> Option<SourceLine> {
        let of_map = |object: &&InputObject| object.maps.iter().any(|def| def.name == map);
        self.objects.iter().filter(of_map).find_map(|object| {
            let def = object.maps.iter().find(|def| def.name == map)?;
            object.locations().find(map, path, attribute).or_else(|| object.sources.find(def, path, attribute))
        })
    }
}

impl Inputs {
    /// Where the programs add to a member of a map that they only add to.
    #[must_use]
    pub fn counted(&self, map: &str, member: &str) -> Option<&SourceLine> {
        // Global data is pinned under the name of the object and the section's.
        let is_it =
            |def: &&MapDef| def.name == map || def.origin == Origin::GlobalData && map.ends_with(def.name.as_str());
        self.objects.iter().find_map(|object| {
            let def = object.maps.iter().find(is_it)?;
            object.programs.counted.get(&(def.name.clone(), member.to_owned()))
        })
    }

    /// Where the new side of a finding is written in the sources; of counters, where programs count in the first.
    #[must_use]
    pub fn place(&self, finding: &Finding) -> Option<SourceLine> {
        match &finding.change {
            Change::Counted { members } => {
                members.iter().find_map(|(path, _)| self.counted(&finding.map, path)).cloned()
            }
            _ => self.locate(&finding.map, &finding.path(), finding.rule.effect.attribute),
        }
    }
}

impl InputObject {
    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn defined(&self) -> ObjectMaps {
        let programs = Some(self.programs.uses.clone());
        ObjectMaps { name: self.name.clone(), maps: self.maps.clone(), programs }
    }

    /// The text of its sources; nothing if it has DWARF.
    pub(crate) fn sources(&self) -> &SourceText {
        &self.sources
    }

    fn locations(&self) -> &Locations {
        let read = || Object::parse(&self.bytes).map(|parsed| parsed.locations()).unwrap_or_default();
        self.locations.get_or_init(read)
    }

    fn read(name: String, path: PathBuf, config: &Config, types: &[TypesObject<'_>]) -> Result<Self, InputError> {
        let fail = |problem| InputError { path: path.clone(), problem };
        let bytes = read(&path)?;
        let mut object = Object::parse(&bytes).map_err(|error| fail(error.to_string()))?;
        for (map, binding) in &config.bindings {
            object.bind(map, binding, types).map_err(|error| fail(error.to_string()))?;
        }
        let programs = object.programs();
        let maps = object.maps;
        Ok(Self { name, path, maps, programs, bytes, locations: OnceLock::new(), sources: SourceText::default() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    std::fs::read(path).map_err(|error| InputError { path: path.to_owned(), problem: error.to_string() })
}

/// The name that reports give an object without one of its own: its file's, up to the first dot.
#[must_use]
pub fn object_name(path: &Path) -> String {
    let file = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    file.split('.').next().unwrap_or(&file).to_owned()
}
