//! What a project says of its maps: `[package.metadata.maplock]` and `[workspace.metadata.maplock]`, or the file `maplock.toml`. One reader
//! for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rules::{self, Compares, Level, Rule};

/// The usual name of the configuration of those who build without Cargo, beside their lock.
pub const FILE_NAME: &str = "maplock.toml";

/// What a `Cargo.toml` or a `maplock.toml` says of the maps of one lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Levels of rules.
    pub levels: Levels,
    /// Maps that count as pinned whatever their declaration says.
    pub pinned: BTreeSet<String>,
    /// Maps that do not, for nothing keeps them beyond the daemon's life.
    pub ephemeral: BTreeSet<String>,
    /// Maps that a build may lack, such as one without a feature of the package.
    pub optional: BTreeSet<String>,
    /// Architectures, as Cargo names them, that have a lock of their own.
    pub targets: BTreeSet<String>,
    /// What is said of single maps, such as the types of those that are declared by their sizes alone.
    pub bindings: BTreeMap<String, Binding>,
    /// Objects that are read for their types alone, as written: relative to the file that says so.
    pub types: Vec<String>,
    /// The compiled objects, relative to the file. In a `maplock.toml` without a Cargo package alone.
    pub objects: Vec<String>,
    /// The lockfile, relative to the file. In a `maplock.toml` without a Cargo package alone.
    pub lock: Option<String>,
    /// Locks of packages that the workspace gave up, relative to its root.
    pub retired: BTreeSet<String>,
    /// Tags of releases from which nodes upgrade, as patterns of git's.
    pub releases: Vec<String>,
    /// True if nodes must be able to go back: each accepted break needs a way back on which nothing is lost.
    pub both_directions: bool,
    /// True if a lock that is held against a revision is held against all releases.
    pub across_all: bool,
    /// How messages call the file, if it is no `Cargo.toml`.
    pub home: Option<String>,
}

/// What is said of one map: types of its key and value, named as in C or in Rust, and what the daemon sets when it loads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// Such as `struct frontend_key`.
    pub key: Option<String>,
    /// Such as `struct frontend_value`, or `frontends::Value`.
    pub value: Option<String>,
    /// True if the daemon sets the capacity when it loads the map, whatever stands in the object.
    pub runtime_capacity: bool,
    /// True if the daemon sets the flags when it loads the map.
    pub runtime_flags: bool,
    /// True if nobody in user space deletes entries of the map.
    pub user_never_deletes: bool,
    /// The lock of the package that the map belongs to, relative to the file: it is not locked here.
    pub owner: Option<String>,
    /// True if the map is this lock's own, whatever other packages call the same.
    pub own: bool,
}

/// Levels of the rules: the rules' own, but for those that a configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels(BTreeMap<&'static str, Level>);

impl Levels {
    /// The level of a rule. A conflict between two objects is denied always: there is no right way to build it.
    #[must_use]
    pub fn of(&self, rule: &Rule) -> Level {
        if rule.effect.compares == Compares::Objects {
            return Level::Deny;
        }
        self.0.get(rule.id).copied().unwrap_or(rule.default_level)
    }

    /// Sets the level of a rule.
    pub fn set(&mut self, rule: &'static Rule, level: Level) {
        self.0.insert(rule.id, level);
    }
}

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong, and what may have been meant.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// Where in a file the configuration is, and what it may say there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `[package.metadata.maplock]` of a `Cargo.toml`.
    Package,
    /// `[workspace.metadata.maplock]` of a `Cargo.toml`.
    Workspace,
    /// A whole `maplock.toml`, without Cargo.
    File,
    /// A whole `maplock.toml` beside the `Cargo.toml` of a package.
    FileOfPackage,
}

impl Scope {
    /// The tables around the keys, outermost first.
    const fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Package => &["package", "metadata", "maplock"],
            Self::Workspace => &["workspace", "metadata", "maplock"],
            Self::File | Self::FileOfPackage => &[],
        }
    }

    /// The head of a table among the keys, as one writes it.
    fn head(self, table: &str) -> String {
        let around = self.tables().iter().map(|table| format!("{table}."));
        format!("[{}{table}]", around.collect::<String>())
    }
}

/// Keys of every scope.
const KEYS: [&str; 9] =
    ["ephemeral", "pinned", "optional", "maps", "types", "targets", "releases", "direction", "across"];
/// Keys of one map.
const KEYS_OF_A_MAP: [&str; 6] = ["key", "value", "capacity", "flags", "user-deletes", "owner"];
/// Keys of a `maplock.toml`: Cargo knows the answers itself.
const KEYS_OF_FILES: [&str; 2] = ["objects", "lock"];

impl Config {
    /// Adds what the text of a file says in `scope`; it wins over what is there. Read the workspace first, then the package. True if the
    /// file says anything of maplock.
    ///
    /// # Errors
    /// If the text is not TOML, or a rule, a level or a key is not known.
    pub fn read(&mut self, text: &str, scope: Scope) -> Result<bool, ConfigError> {
        let reader = Reader { text, scope };
        let document = DeTable::parse(text).map_err(|error| ConfigError {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            problem: error.message().to_owned(),
        })?;
        let mut table = document.get_ref();
        for key in scope.tables() {
            let Some(value) = table.get(*key) else { return Ok(false) };
            table = value.get_ref().as_table().ok_or_else(|| reader.error(value, format!("`{key}` is not a table")))?;
        }
        let (mut pinned, mut ephemeral) = (BTreeSet::new(), BTreeSet::new());
        for (key, value) in table {
            match &**key.get_ref() {
                list @ ("ephemeral" | "pinned") => {
                    let names = reader.list(value, "names of maps")?;
                    let (own, other) =
                        if list == "pinned" { (&mut pinned, &ephemeral) } else { (&mut ephemeral, &pinned) };
                    if let Some(name) = names.iter().find(|name| other.contains(*name)) {
                        return Err(reader.error(value, format!("map `{name}` is both `pinned` and `ephemeral`")));
                    }
                    own.extend(names);
                }
                "targets" if scope == Scope::File => {
                    let problem = "`targets` is for a Cargo package: without Cargo, `lock` names the file";
                    return Err(reader.error(key, problem.to_owned()));
                }
                "targets" => self.targets.extend(reader.list(value, "architectures")?),
                "optional" => self.optional.extend(reader.list(value, "names of maps")?),
                "maps" => self.bindings.extend(reader.bindings(value)?),
                "releases" => {
                    self.releases = match value.get_ref().as_str() {
                        Some(pattern) => vec![pattern.to_owned()],
                        None => reader.list(value, "patterns of tags")?,
                    };
                }
                "direction" => self.both_directions = reader.one_of(value, "direction", ["up", "both"])? == "both",
                "across" => self.across_all = reader.one_of(value, "across", ["named", "all"])? == "all",
                "types" => self.types.extend(reader.list(value, "objects")?),
                "retired" if scope == Scope::Workspace => {
                    self.retired = reader.list(value, "lockfiles")?.into_iter().collect();
                }
                of_files if KEYS_OF_FILES.contains(&of_files) && scope != Scope::File => {
                    return Err(reader.error(key, not_with_cargo(of_files)));
                }
                "objects" => self.objects = reader.list(value, "files")?,
                "lock" => self.lock = Some(reader.string(value)?.to_owned()),
                id => {
                    let rule = rules::find(id).ok_or_else(|| {
                        let more: &[_] = match scope {
                            Scope::File => &KEYS_OF_FILES,
                            Scope::Workspace => &["retired"],
                            Scope::Package | Scope::FileOfPackage => &[],
                        };
                        let known = KEYS.iter().chain(more).copied().chain(rules::ALL.iter().map(|rule| rule.id));
                        reader.error(key, format!("`{id}` is neither a key nor a rule{}", did_you_mean(id, known)))
                    })?;
                    let level = reader.level(value)?;
                    if rule.effect.compares == Compares::Objects && level != Level::Deny {
                        return Err(
                            reader.error(value, format!("`{id}` is denied always: there is no right way to build it"))
                        );
                    }
                    self.levels.set(rule, level);
                }
            }
        }
        self.pinned.retain(|name| !ephemeral.contains(name));
        self.ephemeral.retain(|name| !pinned.contains(name));
        self.pinned.append(&mut pinned);
        self.ephemeral.append(&mut ephemeral);
        Ok(true)
    }
}

/// Why a key of [`KEYS_OF_FILES`] is none in a Cargo package.
fn not_with_cargo(key: &str) -> String {
    let instead = match key {
        "objects" => "its build script names the objects",
        _ => "its lock is beside its Cargo.toml",
    };
    format!("`{key}` is not for a Cargo package: {instead}")
}

struct Reader<'a> {
    text: &'a str,
    scope: Scope,
}

impl Reader<'_> {
    fn error<T>(&self, at: &Spanned<T>, problem: String) -> ConfigError {
        ConfigError { line: line_of(self.text, at.span().start), problem }
    }

    fn string<'v>(&self, value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, ConfigError> {
        value.get_ref().as_str().ok_or_else(|| self.error(value, "not a string".to_owned()))
    }

    fn list(&self, value: &Spanned<DeValue<'_>>, of: &str) -> Result<Vec<String>, ConfigError> {
        let array = value.get_ref().as_array();
        let array = array.ok_or_else(|| self.error(value, format!("not a list of {of}")))?;
        array.iter().map(|name| self.string(name).map(str::to_owned)).collect()
    }

    fn one_of<'v>(&self, value: &'v Spanned<DeValue<'_>>, key: &str, words: [&str; 2]) -> Result<&'v str, ConfigError> {
        let word = self.string(value)?;
        let hint = || did_you_mean(word, words);
        let problem = || format!("`{key}` is \"{}\" or \"{}\", not `{word}`{}", words[0], words[1], hint());
        if words.contains(&word) { Ok(word) } else { Err(self.error(value, problem())) }
    }

    fn level(&self, value: &Spanned<DeValue<'_>>) -> Result<Level, ConfigError> {
        let name = self.string(value)?;
        Level::from_name(name).ok_or_else(|| {
            let hint = did_you_mean(name, Level::ALL.map(Level::name));
            self.error(value, format!("`{name}` is not a level (allow, warn, deny){hint}"))
        })
    }

    fn bindings(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, Binding)>, ConfigError> {
        let table = |value: &Spanned<DeValue<'_>>| {
            self.error(value, format!("not a table: write `{}`", self.scope.head("maps.NAME")))
        };
        let maps = value.get_ref().as_table().ok_or_else(|| table(value))?;
        let mut bindings = Vec::with_capacity(maps.len());
        for (name, value) in maps {
            let mut binding = Binding::default();
            for (key, value) in value.get_ref().as_table().ok_or_else(|| table(value))? {
                match &**key.get_ref() {
                    "key" => binding.key = Some(self.string(value)?.to_owned()),
                    "value" => binding.value = Some(self.string(value)?.to_owned()),
                    "owner" => binding.owner = Some(self.string(value)?.to_owned()),
                    at @ "capacity" => binding.runtime_capacity = self.at_run_time(at, value)?,
                    at @ "flags" => binding.runtime_flags = self.at_run_time(at, value)?,
                    "user-deletes" => {
                        if self.string(value)? != "never" {
                            let problem = "`user-deletes` can be \"never\" alone: else it is not known";
                            return Err(self.error(value, problem.to_owned()));
                        }
                        binding.user_never_deletes = true;
                    }
                    other => {
                        let hint = did_you_mean(other, KEYS_OF_A_MAP);
                        let known = KEYS_OF_A_MAP.map(|key| format!("`{key}`")).join(", ");
                        return Err(self.error(key, format!("`{other}` is not known here: only {known}{hint}")));
                    }
                }
            }
            bindings.push((name.get_ref().to_string(), binding));
        }
        Ok(bindings)
    }

    /// `"runtime"`, which is all that can be said of what an object has a number for.
    fn at_run_time(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, ConfigError> {
        match value.get_ref().as_str() {
            Some("runtime") => Ok(true),
            _ => Err(self.error(value, format!("`{key}` can be \"runtime\" alone: the object has the number"))),
        }
    }
}

/// `; did you mean ..?`, or nothing if nothing is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    rules::nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Line of a byte offset, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}
