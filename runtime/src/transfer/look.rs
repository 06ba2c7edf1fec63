//! What entries keep that go to another layout, as their bytes tell.

use std::io;
use std::time::{Duration, Instant};

use maplock_layout::conversion::Conversion;

use super::calls::plain;
use super::error::TransferError;
use super::types::Method;
use crate::sys::Map;

/// What was found in entries that go to an older layout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Entries that were looked at.
    pub entries: u64,
    /// Of these, those of whose keys something has no place there.
    pub keys: u64,
    /// Those of whose values something has no place there; what a member is by default has.
    pub values: u64,
    /// Those that can't be converted.
    pub unfit: u64,
    /// True if all entries were looked at.
    pub is_all: bool,
}

impl Found {
    /// Entries that are not found under any key of the older layout; `None` if not all were looked at.
    pub(crate) fn left_behind(self) -> Option<u64> {
        self.is_all.then_some(self.keys + self.unfit)
    }
}

/// Converts each entry there and back again, in memory, for that long at most. `None` if entries can't be read so.
pub(crate) fn look(map: &Map, there: &Conversion, again: &Conversion, most: Duration) -> Option<Found> {
    let start = Instant::now();
    let (part, size) = (plain::parts(map), map.info().value_size as usize);
    let mut found = Found { is_all: true, ..Found::default() };
    let looked = plain::each_entry(map, Method::Batch, &mut |key, value| {
        if start.elapsed() > most {
            found.is_all = false;
            return Err(TransferError::kernel(map, "looking at entries")(io::ErrorKind::TimedOut.into()));
        }
        found.entries += 1;
        let (mut has_key, mut has_value, mut fits) = (true, true, true);
        for value in value.chunks_exact(part) {
            match there.comes_again(again, key, &value[..size]) {
                Ok(kept) => (has_key, has_value) = (has_key && kept.key, has_value && kept.value),
                Err(_) => fits = false,
            }
        }
        match fits {
            true => {
                found.keys += u64::from(!has_key);
                found.values += u64::from(!has_value);
            }
            false => found.unfit += 1,
        }
        Ok(())
    });
    (looked.is_ok() || !found.is_all).then_some(found)
}
