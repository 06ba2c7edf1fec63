//! What one object defines, as plain data.

use std::collections::BTreeMap;

use crate::map::MapDef;
use crate::program_use::ProgramUse;

/// One object's maps.
#[derive(Debug, Clone)]
pub struct ObjectMaps {
    /// How reports name the object.
    pub name: String,
    /// All of its maps.
    pub maps: Vec<MapDef>,
    /// What its programs do with them, by name; a map that none of them touches is not in it. `None` if nobody has looked.
    pub programs: Option<BTreeMap<String, ProgramUse>>,
}

impl ObjectMaps {
    /// Maps of an object whose programs nobody has looked at.
    #[must_use]
    pub fn new(name: impl Into<String>, maps: Vec<MapDef>) -> Self {
        Self { name: name.into(), maps, programs: None }
    }

    /// What its programs do with a map of it.
    pub(crate) fn programs_of(&self, map: &str) -> Option<ProgramUse> {
        Some(self.programs.as_ref()?.get(map).cloned().unwrap_or_default())
    }
}
