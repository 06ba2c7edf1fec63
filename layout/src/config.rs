//! `[package.metadata.maplock]` and `[workspace.metadata.maplock]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rules::{self, Compares, Level, Rule};

/// What a `Cargo.toml` says of a package's maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Levels of rules.
    pub levels: Levels,
    /// Maps that count as pinned whatever their declaration says.
    pub pinned: BTreeSet<String>,
    /// Maps that do not, for nothing keeps them beyond the daemon's life.
    pub ephemeral: BTreeSet<String>,
    /// Types of maps that are declared by their sizes alone.
    pub bindings: BTreeMap<String, Binding>,
}

/// C types of a map's key and value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// Such as `struct frontend_key`.
    pub key: Option<String>,
    /// Such as `struct frontend_value`.
    pub value: Option<String>,
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

/// Whose metadata to read from a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `[package.metadata.maplock]`
    Package,
    /// `[workspace.metadata.maplock]`
    Workspace,
}

impl Scope {
    const fn table(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Workspace => "workspace",
        }
    }
}

const KEYS: [&str; 3] = ["ephemeral", "pinned", "maps"];

impl Config {
    /// Adds what the text of a `Cargo.toml` says in `scope`; it wins over what is there. Read the workspace first, then
    /// the package.
    ///
    /// # Errors
    /// Where the text is not TOML, or a rule, a level or a key is not known.
    pub fn read(&mut self, manifest: &str, scope: Scope) -> Result<(), ConfigError> {
        let reader = Reader { text: manifest };
        let document = DeTable::parse(manifest).map_err(|error| ConfigError {
            line: line_of(manifest, error.span().map_or(0, |span| span.start)),
            problem: error.message().to_owned(),
        })?;
        let mut table = document.get_ref();
        for key in [scope.table(), "metadata", "maplock"] {
            let Some(value) = table.get(key) else { return Ok(()) };
            table = value.get_ref().as_table().ok_or_else(|| reader.error(value, format!("`{key}` is not a table")))?;
        }
        let (mut pinned, mut ephemeral) = (BTreeSet::new(), BTreeSet::new());
        for (key, value) in table {
            match &**key.get_ref() {
                list @ ("ephemeral" | "pinned") => {
                    let names = reader.names(value)?;
                    let (own, other) =
                        if list == "pinned" { (&mut pinned, &ephemeral) } else { (&mut ephemeral, &pinned) };
                    if let Some(name) = names.iter().find(|name| other.contains(*name)) {
                        return Err(reader.error(value, format!("map `{name}` is both `pinned` and `ephemeral`")));
                    }
                    own.extend(names);
                }
                "maps" => self.bindings.extend(reader.bindings(value)?),
                id => {
                    let rule = rules::find(id).ok_or_else(|| {
                        let known = KEYS.into_iter().chain(rules::ALL.iter().map(|rule| rule.id));
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
        Ok(())
    }
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn error<T>(&self, at: &Spanned<T>, problem: String) -> ConfigError {
        ConfigError { line: line_of(self.text, at.span().start), problem }
    }

    fn string<'v>(&self, value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, ConfigError> {
        value.get_ref().as_str().ok_or_else(|| self.error(value, "not a string".to_owned()))
    }

    fn names(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
        let array = value.get_ref().as_array();
        let array = array.ok_or_else(|| self.error(value, "not a list of names of maps".to_owned()))?;
        array.iter().map(|name| self.string(name).map(str::to_owned)).collect()
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
            self.error(value, "not a table: write `[package.metadata.maplock.maps.NAME]`".to_owned())
        };
        let maps = value.get_ref().as_table().ok_or_else(|| table(value))?;
        let mut bindings = Vec::with_capacity(maps.len());
        for (name, value) in maps {
            let mut binding = Binding::default();
            for (key, value) in value.get_ref().as_table().ok_or_else(|| table(value))? {
                match &**key.get_ref() {
                    "key" => binding.key = Some(self.string(value)?.to_owned()),
                    "value" => binding.value = Some(self.string(value)?.to_owned()),
                    other => {
                        let hint = did_you_mean(other, ["key", "value"]);
                        return Err(
                            self.error(key, format!("`{other}` is not known here: only `key` and `value`{hint}"))
                        );
                    }
                }
            }
            bindings.push((name.get_ref().to_string(), binding));
        }
        Ok(bindings)
    }
}

/// `; did you mean ..?`, or nothing where nothing is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    rules::nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Line of a byte offset, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}
