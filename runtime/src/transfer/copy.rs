//! The first pass: entries are copied while programs write them.

use super::calls::{objects, plain};
use super::carrier::Carrier;
use super::count::count;
use super::drive::driver::Driver;
use super::drive::same::Same;
use super::error::{TransferError, falls_back};
use super::pieces::Pieces;
use super::types::{Copied, Method, Transfer, TransferOptions, evicts, has_slack};
use crate::sys::Map;

impl Transfer<'_> {
    /// The first pass: copies entries while programs write the old map. The new map and the snapshot are used by nobody yet.
    /// A pass that was stopped may be run again.
    ///
    /// # Errors
    /// [`TransferError::Full`] if the new map has no room; the kernel's, with the map's name; and what
    /// [`TransferError`] says of maps that don't fit each other.
    pub fn copy(&self, options: &mut TransferOptions<'_>) -> Result<Copied, TransferError> {
        let carrier = self.check(options)?;
        let pieces = Pieces::new(self.from, self.sums);
        let info = self.from.info();
        let mut copied = match carrier {
            Carrier::Entries => self.copy_entries(&pieces, options)?,
            Carrier::Order | Carrier::Nobody => Copied::default(),
            Carrier::Objects => objects::copy(self, options, true)?,
        };
        copied.bytes = copied.entries * (u64::from(info.key_size) + self.from.value_bytes() as u64);
        copied.lost = evicted(self.to, copied.entries);
        tracing::debug!(map = info.name, ?copied, "copied");
        Ok(copied)
    }

    fn copy_entries(&self, pieces: &Pieces, options: &mut TransferOptions<'_>) -> Result<Copied, TransferError> {
        let is_trie = self.from.info().map_type.is_trie();
        let wanted = options.method;
        // No program can iterate a trie, and to insert is what takes the time there.
        if !is_trie && wanted.is_none_or(|method| method == Method::Kernel) {
            let driver = Same::new(*self, pieces).and_then(Driver::new);
            match driver.and_then(|driver| driver.load_copying().map(|progs| (driver, progs))) {
                Ok((driver, progs)) => return driver.copy(&progs, options),
                Err(error) if wanted.is_none() => _ = falls_back(self.from, &error, options),
                Err(error) => return Err(TransferError::kernel(self.from, "loading the program that copies")(error)),
            }
        }
        plain::copy(self, options)
    }
}

/// How many of so many entries `to` has evicted as they were copied into it.
pub(super) fn evicted(to: &Map, entries: u64) -> u64 {
    // Where there is room for that many entries besides, nothing was evicted, and nothing needs to be counted.
    if !evicts(to.info().map_type) || has_slack(to, entries) {
        return 0;
    }
    entries.saturating_sub(count(to, std::time::Duration::MAX).unwrap_or(entries))
}

/// Copies all entries of a map that nobody writes into its snapshot, which is of [`new_base`](super::new_base).
///
/// # Errors
/// As [`Transfer::copy`].
pub fn snapshot(from: &Map, base: &Map) -> Result<Copied, TransferError> {
    let transfer = Transfer { from, to: base, base: None, sums: &[] };
    transfer.copy_entries(&Pieces::new(from, &[]), &mut TransferOptions::default())
}
