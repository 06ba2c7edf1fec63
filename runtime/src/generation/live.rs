//! Which generation is live.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Trying as _};
use crate::generation::meta::{self, Meta};
use crate::sys::Map;

/// A generation in a directory of pins. Two are the same only if they are one and the same: a later one with the same number is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    number: Option<u64>,
    identity: Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// The kernel's number for its meta map.
    Meta(u32),
    /// It has none: device and inode of its directory.
    Directory(u64, u64),
}

impl Generation {
    /// The one that is live in a directory; `None` if there is no such directory.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub fn at(dir: &Path) -> Result<Option<Self>, Error> {
        let failed = || format!("can't look at `{}`", dir.display());
        let held = match File::open(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            held => held.trying(failed)?,
        };
        // Of the directory itself, whatever is in its place by now.
        let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd())).join(meta::NAME);
        match Map::open(&path) {
            Ok(map) => {
                // One that can't be understood is one all the same.
                let number = Meta::read_from(&map, &path).ok().map(|meta| meta.generation);
                Ok(Some(Self { number, identity: Identity::Meta(map.info().id) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let data = held.metadata().trying(failed)?;
                Ok(Some(Self { number: None, identity: Identity::Directory(data.dev(), data.ino()) }))
            }
            Err(error) => Err(error).trying(failed),
        }
    }

    /// The one of a meta map that was read.
    pub(crate) fn of(meta: &Meta, map: &Map) -> Self {
        Self { number: Some(meta.generation), identity: Identity::Meta(map.info().id) }
    }

    /// Its number, which counts on with each upgrade, and goes back with a roll-back. `None` if maplock did not make it.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.number
    }
}
