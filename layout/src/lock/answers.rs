//! The answers of an epoch that migrates, as lines of a lockfile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use toml::de::DeTable;

use super::quote::{key, string};
use super::reader::{Reader, Result, Value};
use crate::config::did_you_mean;
use crate::conversion::{Answers, Cast, Collide, Scale};

/// The keys of an epoch that hold answers.
pub(super) const KEYS: [&str; 7] = ["by-hand", "rename", "default", "drop", "cast", "scale", "collide"];

pub(super) fn facts(answers: &Answers) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if answers.by_hand {
        facts.push(("by-hand", "true".to_owned()));
    }
    facts.extend(table("rename", &answers.rename));
    facts.extend(table("default", &answers.default));
    if !answers.drop.is_empty() {
        let paths: Vec<_> = answers.drop.iter().map(|path| string(path)).collect();
        facts.push(("drop", format!("[{}]", paths.join(", "))));
    }
    facts.extend(table("cast", &answers.cast));
    facts.extend(table("scale", &answers.scale));
    facts.extend(answers.collide.map(|collide| ("collide", format!("\"{collide}\""))));
    facts
}

fn table<T: Display>(name: &'static str, answers: &BTreeMap<String, T>) -> Option<(&'static str, String)> {
    let rows: Vec<_> =
        answers.iter().map(|(path, answer)| format!("{} = {}", key(path), string(&answer.to_string()))).collect();
    (!rows.is_empty()).then(|| (name, format!("{{ {} }}", rows.join(", "))))
}

impl Reader<'_> {
    pub(super) fn answers(&self, epoch: &DeTable<'_>) -> Result<Answers> {
        let by_hand = epoch.get("by-hand").map(|value| self.bool(value)).transpose()?;
        let collide = epoch.get("collide").map(|value| {
            let name = self.string(value)?;
            Collide::from_name(name).ok_or_else(|| {
                let hint = did_you_mean(name, Collide::ALL.map(Collide::name));
                self.at(value.span(), format!("`{name}` is not refuse, sum or keep-one{hint}"))
            })
        });
        let text = |_: &str, text: &str| Ok(text.to_owned());
        Ok(Answers {
            by_hand: by_hand.unwrap_or_default(),
            rename: self.by_path(epoch, "rename", text)?,
            default: self.by_path(epoch, "default", text)?,
            drop: self.paths(epoch, "drop")?,
            cast: self.by_path(epoch, "cast", |path, name| {
                Cast::from_name(name).ok_or_else(|| {
                    let hint = did_you_mean(name, Cast::ALL.map(Cast::name));
                    format!("`{name}` is no cast of `{path}`: only refuse, saturate and truncate are{hint}")
                })
            })?,
            scale: self.by_path(epoch, "scale", |path, text| {
                Scale::parse(text)
                    .ok_or_else(|| format!("`{text}` is no scale of `{path}`: write `1000`, `1/1000` or `3/2`"))
            })?,
            collide: collide.transpose()?,
        })
    }

    /// A table of answers by the members' paths.
    fn by_path<T>(
        &self,
        epoch: &DeTable<'_>,
        name: &str,
        answer: impl Fn(&str, &str) -> std::result::Result<T, String>,
    ) -> Result<BTreeMap<String, T>> {
        let mut answers = BTreeMap::new();
        let Some(value) = epoch.get(name) else { return Ok(answers) };
        for (path, value) in self.some(self.table(value)?, value, name)? {
            let path = path.get_ref();
            let answer = answer(path, self.string(value)?).map_err(|problem| self.at(value.span(), problem))?;
            answers.insert(path.to_string(), answer);
        }
        Ok(answers)
    }

    fn some<'v, 'a>(&self, table: &'v DeTable<'a>, value: &Value<'_>, name: &str) -> Result<&'v DeTable<'a>> {
        if table.is_empty() { Err(self.at(value.span(), format!("`{name}` names no member"))) } else { Ok(table) }
    }

    fn paths(&self, epoch: &DeTable<'_>, name: &str) -> Result<BTreeSet<String>> {
        let Some(value) = epoch.get(name) else { return Ok(BTreeSet::new()) };
        let paths = self.array(value)?;
        if paths.is_empty() {
            return Err(self.at(value.span(), format!("`{name}` names no member")));
        }
        paths.iter().map(|path| self.string(path).map(str::to_owned)).collect()
    }
}
