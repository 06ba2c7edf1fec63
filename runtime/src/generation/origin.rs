//! The generation that maps were opened from, and whether it still is the live one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::Error;
use crate::generation::live::Generation;
use crate::generation::watch::Watch;

/// The generation that maps were opened from, and where.
#[derive(Debug, Clone)]
pub struct Origin {
    dir: PathBuf,
    /// Of a staged generation, nothing before its commit.
    generation: Arc<OnceLock<Generation>>,
}

impl Origin {
    /// A generation that is known, or one that will be once it is committed.
    pub(crate) fn new(dir: &Path, generation: Option<Generation>) -> Self {
        let known = generation.map_or_else(OnceLock::new, OnceLock::from);
        // Where the process changes its directory, this is the same one all the same.
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        Self { dir, generation: Arc::new(known) }
    }

    /// It was committed: from now on it is known.
    pub(crate) fn is_committed(&self, generation: Generation) {
        // There is one commit at most.
        _ = self.generation.set(generation);
    }

    /// The directory of the pins.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which it is; `None` of a generation that is staged and not committed.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.generation.get().copied()
    }

    /// True if this generation is the live one at this moment: no upgrade and no roll-back has put another one in its place.
    ///
    /// # Errors
    /// If the directory can't be looked at.
    pub fn is_live(&self) -> Result<bool, Error> {
        let Some(generation) = self.generation() else { return Ok(false) };
        Ok(Generation::at(&self.dir)? == Some(generation))
    }

    /// Is told when another generation takes the place of this one, also if that has happened already.
    ///
    /// # Errors
    /// As [`Watch::new`].
    pub fn watch(&self) -> Result<Watch, Error> {
        Watch::since(&self.dir, self.generation())
    }
}
