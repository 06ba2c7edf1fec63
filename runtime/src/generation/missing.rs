//! Pins that a generation lists, and that are gone: somebody removed them.

use std::io;
use std::path::Path;

use crate::generation::meta::Meta;
use crate::generation::names::pin_name;
use crate::sys::Map;

/// A map of a generation whose pin somebody removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Name of the map.
    pub map: String,
    /// The kernel's number for it.
    pub id: u32,
    /// Whether it is there still, as a program, a process or another pin holds it; `None` if that can't be told.
    pub lives: Option<bool>,
}

impl Missing {
    /// The maps that `meta` lists, without those that are pinned.
    #[must_use]
    pub fn of(meta: &Meta, is_pinned: impl Fn(&str) -> bool) -> Vec<Self> {
        let missing = meta.maps.iter().filter(|(name, _)| !is_pinned(&pin_name(name)));
        missing.map(|(name, map)| Self { map: name.clone(), id: map.id, lives: lives(map.id) }).collect()
    }

    /// What became of the map, and how to pin it again in `dir`: a phrase.
    #[must_use]
    pub fn remedy(&self, dir: &Path) -> String {
        let pin = dir.join(pin_name(&self.map));
        match self.lives {
            Some(true) => can_be_had(&format!("bpftool map pin id {} {}", self.id, pin.display())),
            Some(false) => "nothing holds it any more".to_owned(),
            None => "nothing tells whether it still exists".to_owned(),
        }
    }
}

/// That a command brings a pin back.
pub(crate) fn can_be_had(command: &str) -> String {
    format!("it still exists; pin it again: {command}")
}

/// Whether there is a map of that number.
pub(crate) fn lives(id: u32) -> Option<bool> {
    match Map::from_id(id) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}
