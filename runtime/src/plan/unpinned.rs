//! A plan over nothing: no map of the release is pinned where it was looked for.

use std::collections::BTreeSet;
use std::path::Path;

use maplock_layout::listing;
use serde_json::{Value, json};

use crate::inspect::{Near, Place};

/// Names that are told at the most.
const MOST: usize = 4;

/// That no map of the release is pinned in the directory, under any name that it ever had: there is no state to be kept or lost.
/// Who expects some has looked in the wrong place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpinned {
    /// False if there is no such directory.
    pub exists: bool,
    /// Names that are in it.
    pub names: BTreeSet<String>,
    /// True if a generation is kept for roll-back all the same.
    pub has_kept: bool,
    /// What looks like the release's pins, the likeliest first.
    pub near: Vec<Near>,
}

impl Unpinned {
    /// What comes of it, for the line that says what is lost.
    pub(super) fn outcome(&self) -> &'static str {
        if self.has_kept {
            "nothing is pinned here: every map starts empty"
        } else {
            "nothing is pinned here: a first installation"
        }
    }

    /// What to tell first, in a line; and a line for each place that looks like the one that was meant.
    #[must_use]
    pub fn lines(&self, dir: &Path) -> Vec<String> {
        let shown = dir.display();
        let there = if !self.exists {
            format!("nothing is pinned at `{shown}`: there is no such directory")
        } else if self.names.is_empty() {
            format!("nothing is pinned at `{shown}`: the directory is empty")
        } else {
            format!("nothing of this release is pinned at `{shown}`, which holds {}", list(self.names.iter()))
        };
        let so = match self.has_kept {
            true => "no map of the kept generation fits this release, and every map starts empty",
            false => "this is a first installation",
        };
        std::iter::once(format!("{there}; {so}")).chain(self.near.iter().map(near)).collect()
    }

    /// Directories with pins of the names that the release has.
    pub fn elsewhere(&self) -> impl Iterator<Item = &Near> {
        self.near.iter().filter(|near| near.place != Place::Itself && !near.maps.is_empty())
    }

    pub(super) fn to_json(&self) -> Value {
        let near = self.near.iter().map(|near| {
            let alike = near.alike.iter().map(|(map, pin, why)| json!({ "map": map, "pin": pin, "why": why.why() }));
            json!({
                "dir": near.dir,
                "leads_to": near.leads_to,
                "place": near.place.name(),
                "maps": near.maps,
                "alike": alike.collect::<Vec<_>>(),
            })
        });
        json!({
            "exists": self.exists,
            "names": self.names,
            "has_kept": self.has_kept,
            "near": near.collect::<Vec<_>>(),
        })
    }
}

/// What lies near, in a line.
fn near(near: &Near) -> String {
    let dir = near.dir.display();
    let link = near.leads_to.as_ref().map_or_else(String::new, |to| format!(", a link to `{}`,", to.display()));
    let has = match near.place {
        Place::Itself => "it has".to_owned(),
        Place::Within => format!("`{dir}`{link} in it has"),
        Place::Above => format!("`{dir}`, the directory above it, has"),
        Place::Beside => format!("`{dir}`{link} beside it has"),
    };
    let mut parts = Vec::new();
    if !near.maps.is_empty() {
        let noun = if near.maps.len() == 1 { "a pin" } else { "pins" };
        parts.push(format!("{noun} of the release's names: {}", list(near.maps.iter())));
    }
    for (map, pin, why) in near.alike.iter().take(MOST) {
        parts.push(format!("`{pin}`, which may be `{map}` ({})", why.why()));
    }
    format!("{has} {}", parts.join("; "))
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    listing::first(names.map(|name| format!("`{name}`")), MOST, "name")
}
