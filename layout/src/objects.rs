//! What one object defines, as plain data.

use crate::map::MapDef;

/// One object's maps.
#[derive(Debug, Clone)]
pub struct ObjectMaps {
    /// How reports name the object.
    pub name: String,
    /// All of its maps.
    pub maps: Vec<MapDef>,
}
