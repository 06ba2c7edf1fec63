//! Why an object could not be read.

use std::fmt;

use maplock_layout::btf::BtfError;

/// An object whose maps can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectError {
    map: Option<String>,
    problem: String,
}

impl ObjectError {
    pub(crate) fn new(problem: String) -> Self {
        Self { map: None, problem }
    }

    /// The same error, as one of this map.
    pub(crate) fn of_map(self, map: &str) -> Self {
        Self { map: self.map.or_else(|| Some(map.to_owned())), ..self }
    }

    /// The same error, as one of the map's inner map.
    pub(crate) fn of_inner(self) -> Self {
        Self { problem: format!("of its inner map, {}", self.problem), ..self }
    }
}

impl From<BtfError> for ObjectError {
    fn from(error: BtfError) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(map) = &self.map {
            write!(f, "map `{map}`: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ObjectError {}
