//! `maplock@history`: the lock of the release that made a generation, with its epochs, pinned beside the maps. Only the newer of two locks
//! knows the layouts of both, so that an older release reads this one if it meets a layout that its own does not know.

use std::cell::OnceCell;
use std::io;

use maplock_layout::Lock;
use maplock_layout::lock::LockedMap;

use crate::generation::names::{self, pin_name};
use crate::generation::text::{self, NoText};
use crate::sys::Map;
use crate::sys::bpffs::{Dir, Pin};

/// Name of the map.
const NAME: &str = "maplock_history";

/// Pins it in a directory.
///
/// # Errors
/// The kernel's.
pub(crate) fn write(dir: &Dir, lock: &Lock) -> io::Result<()> {
    text::write(&dir.join(names::HISTORY), NAME, &lock.to_string())
}

/// The lock that is pinned with a generation, read when it is asked for and not before: most starts need no other than their own.
#[derive(Debug, Default)]
pub struct PinnedLock {
    pin: Option<Pin>,
    lock: OnceCell<Option<Lock>>,
}

impl PinnedLock {
    /// That of the generation in a directory.
    #[must_use]
    pub fn of(dir: &Dir) -> Self {
        Self { pin: Some(dir.join(names::HISTORY)), lock: OnceCell::new() }
    }

    /// The lock; `None` if none is pinned, or what is pinned is none.
    #[must_use]
    pub fn lock(&self) -> Option<&Lock> {
        let read = || self.pin.as_ref().and_then(read);
        self.lock.get_or_init(read).as_ref()
    }

    /// What it says of the map that is pinned under that name.
    pub(crate) fn map(&self, pin: &str) -> Option<&LockedMap> {
        self.lock()?.maps.values().find(|map| pin_name(&map.def.name) == pin)
    }
}

impl From<Lock> for PinnedLock {
    fn from(lock: Lock) -> Self {
        Self { pin: None, lock: OnceCell::from(Some(lock)) }
    }
}

/// Whoever pinned it may have written anything: what is no lock says nothing.
fn read(pin: &Pin) -> Option<Lock> {
    let map = match Map::open(pin) {
        Ok(map) => map,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return ignored(pin, &error.to_string()),
    };
    let text = match text::read(&map) {
        Ok(text) => text,
        Err(NoText::Io(error)) => return ignored(pin, &error.to_string()),
        Err(NoText::Shape(problem)) => return ignored(pin, &problem),
    };
    Lock::parse_embedded(&text).map_or_else(|error| ignored(pin, &error.to_string()), Some)
}

fn ignored(pin: &Pin, problem: &str) -> Option<Lock> {
    tracing::warn!(pin = %pin.display(), problem, "no lock of the release that runs: it counts as absent");
    None
}
