//! By system calls: for kernels, types and values that no program copies or settles.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;

use super::super::error::TransferError;
use super::super::pieces::Pieces;
use super::super::types::{
    Copied, Method, SPREAD, Settled, Transfer, TransferOptions, is_array, is_per_cpu, is_spread,
};
use super::merge::Merging;
use crate::sys::consts::BPF_ANY;
use crate::sys::{Batch, Map, Tour, has_no_batches};

/// Whether an entry may be there that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Put {
    Any = BPF_ANY as isize,
    IfAbsent = 1,
    IfThere = 2,
}

/// Gets keys and values, one behind the other.
type EachEntry<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), TransferError>;

/// Entries of a batch: more are not faster, and stay longer in the kernel.
fn batch_size(map: &Map) -> usize {
    ((1 << 20) / (map.value_bytes() + 64)).clamp(64, 4096)
}

/// Reads all entries, in batches; if there are none, one by one.
pub(in crate::transfer) fn each_batch(map: &Map, each: EachEntry<'_>) -> Result<(), TransferError> {
    let mut batch = Batch::default();
    let mut is_first = true;
    loop {
        match map.lookup_batch(&mut batch, batch_size(map)) {
            Ok(()) => {}
            Err(error) if is_first && has_no_batches(&error) => return each_one(map, each),
            Err(error) => return Err(TransferError::kernel(map, "reading a batch of entries")(error)),
        }
        is_first = false;
        let (key_size, value_bytes) = (map.info().key_size as usize, map.value_bytes());
        each(&batch.keys[..batch.count * key_size], &batch.values[..batch.count * value_bytes])?;
        if batch.at_end {
            return Ok(());
        }
    }
}

/// As [`each_batch`], with a thread that reads while `each` is at work.
fn each_batch_read_ahead(map: &Map, each: EachEntry<'_>) -> Result<(), TransferError> {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<(Vec<u8>, Vec<u8>)>(1);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            each_batch(map, &mut |keys, values| {
                let sent = sender.send((keys.to_vec(), values.to_vec()));
                // Only where `each` has failed, and its error is the one that is told.
                sent.map_err(|error| TransferError::kernel(map, "handing entries on")(io::Error::other(error)))
            })
        });
        let done = receiver.iter().try_for_each(|(keys, values)| each(&keys, &values));
        drop(receiver);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.and(read)
    })
}

/// Reads all entries one by one.
pub(in crate::transfer) fn each_one(map: &Map, each: EachEntry<'_>) -> Result<(), TransferError> {
    let failed = TransferError::kernel(map, "reading an entry");
    let mut value = vec![0; map.value_bytes()];
    let mut key = map.next_key(None).map_err(&failed)?;
    // The key behind one that was deleted is the first one again: programs that delete all the time could keep us for ever.
    let mut left = u64::from(map.info().max_entries) * 8 + 1024;
    while let Some(current) = key {
        if map.lookup_into(&current, &mut value).map_err(&failed)? {
            each(&current, &value)?;
        }
        left -= 1;
        if left == 0 {
            return Err(failed(io::Error::other("its keys are deleted faster than they can be read")));
        }
        key = map.next_key(Some(&current)).map_err(&failed)?;
    }
    Ok(())
}

pub(in crate::transfer) fn each_entry(map: &Map, method: Method, each: EachEntry<'_>) -> Result<(), TransferError> {
    let (key_size, value_bytes) = (map.info().key_size as usize, map.value_bytes());
    if method == Method::OneByOne {
        return each_one(map, each);
    }
    each_batch(map, &mut |keys, values| {
        keys.chunks_exact(key_size).zip(values.chunks_exact(value_bytes)).try_for_each(|(key, value)| each(key, value))
    })
}

/// The parts of a value as system calls hand it out: in per-CPU maps, each CPU's.
pub(in crate::transfer) fn parts(map: &Map) -> usize {
    let size = map.info().value_size as usize;
    if is_per_cpu(map.info().map_type) { size.next_multiple_of(8) } else { size }
}

/// How many indexes both of two arrays have. What only the old one has holds nothing: that is checked.
fn indexes(from: &Map, to: &Map) -> Option<u32> {
    is_array(from.info().map_type).then(|| from.info().max_entries.min(to.info().max_entries))
}

fn has_place(index: &[u8], indexes: Option<u32>) -> bool {
    indexes.is_none_or(|indexes| index.try_into().is_ok_and(|index| u32::from_ne_bytes(index) < indexes))
}

/// The first pass.
pub(in crate::transfer) fn copy(
    transfer: &Transfer<'_>,
    options: &mut TransferOptions<'_>,
) -> Result<Copied, TransferError> {
    let Transfer { from, to, base, .. } = *transfer;
    let key_size = from.info().key_size as usize;
    let indexes = indexes(from, to);
    let total = indexes.map(u64::from);
    let method = Cell::new(options.method.unwrap_or(Method::Batch));
    let mut entries = 0;
    let mut tour = tour(to)?;
    let mut write = |keys: &[u8], values: &[u8]| {
        // Indexes come in their order.
        let count = keys.chunks_exact(key_size).take_while(|key| has_place(key, indexes)).count();
        let (keys, values) = (&keys[..count * key_size], &values[..count * from.value_bytes()]);
        if count == 0 {
            return Ok(());
        }
        match &mut tour {
            None => write_entries(to, keys, values, &method)?,
            Some(tour) => {
                let pieces = keys.chunks(SPREAD * key_size).zip(values.chunks(SPREAD * from.value_bytes()));
                for (keys, values) in pieces {
                    tour.go_on();
                    write_entries(to, keys, values, &method)?;
                }
            }
        }
        if let Some(base) = base {
            write_entries(base, keys, values, &method)?;
        }
        entries += (keys.len() / key_size) as u64;
        options.tell(entries, total);
        Ok(())
    };
    if method.get() == Method::OneByOne {
        each_one(from, &mut write)?;
    } else {
        each_batch_read_ahead(from, &mut write)?;
    }
    Ok(Copied { entries, method: Some(method.get()), ..Copied::default() })
}

/// Over the CPUs, if each has room of its own in that map.
pub(in crate::transfer) fn tour(to: &Map) -> Result<Option<Tour>, TransferError> {
    is_spread(to).then(Tour::new).transpose().map_err(TransferError::kernel(to, "listing CPUs"))
}

/// Writes entries in a batch, or one by one if the map has no batches.
fn write_entries(map: &Map, keys: &[u8], values: &[u8], method: &Cell<Method>) -> Result<(), TransferError> {
    let (key_size, value_bytes) = (map.info().key_size as usize, map.value_bytes());
    let count = keys.len() / key_size;
    if method.get() != Method::OneByOne {
        match map.update_batch(keys, values, count, BPF_ANY) {
            (_, Ok(())) => return Ok(()),
            (0, Err(error)) if has_no_batches(&error) => method.set(Method::OneByOne),
            (written, Err(error)) => return Err(TransferError::write(map, (count - written) as u64, error)),
        }
    }
    for (at, (key, value)) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_bytes)).enumerate() {
        map.update(key, value, BPF_ANY).map_err(|error| TransferError::write(map, (count - at) as u64, error))?;
    }
    Ok(())
}

/// A map whose entries are looked up by their very keys. A lookup in an LPM trie finds the longest prefix instead, so that its
/// keys are read beforehand.
pub(in crate::transfer) struct Exact<'a> {
    map: &'a Map,
    keys: Option<HashSet<Vec<u8>>>,
}

impl<'a> Exact<'a> {
    pub(in crate::transfer) fn new(map: &'a Map, method: Method) -> Result<Self, TransferError> {
        let mut keys = map.info().map_type.is_trie().then(HashSet::new);
        if let Some(keys) = &mut keys {
            each_entry(map, method, &mut |key, _| {
                keys.insert(prefix(key));
                Ok(())
            })?;
        }
        Ok(Self { map, keys })
    }

    pub(in crate::transfer) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TransferError> {
        if self.keys.as_ref().is_some_and(|keys| !keys.contains(&prefix(key))) {
            return Ok(None);
        }
        self.map.lookup(key).map_err(TransferError::kernel(self.map, "reading an entry"))
    }

    /// Writes an entry; false if it was there, or was not, against `put`.
    pub(in crate::transfer) fn put(&mut self, key: &[u8], value: &[u8], put: Put) -> Result<bool, TransferError> {
        // An LPM trie heeds the flag since 6.13 (eae6a075e953).
        if put == Put::IfAbsent && self.keys.as_ref().is_some_and(|keys| keys.contains(&prefix(key))) {
            return Ok(false);
        }
        match self.map.update(key, value, put as u64) {
            Ok(()) => {
                if let Some(keys) = &mut self.keys {
                    keys.insert(prefix(key));
                }
                Ok(true)
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOENT)) => Ok(false),
            Err(error) => Err(TransferError::write(self.map, 1, error)),
        }
    }

    pub(in crate::transfer) fn delete(&mut self, key: &[u8]) -> Result<bool, TransferError> {
        if let Some(keys) = &mut self.keys {
            keys.remove(&prefix(key));
        }
        self.map.delete(key).map_err(TransferError::kernel(self.map, "deleting an entry"))
    }
}

/// The key of an LPM trie without the bits behind its prefix, which don't count.
pub(in crate::transfer) fn prefix(key: &[u8]) -> Vec<u8> {
    let mut bits = [0; 4];
    bits.copy_from_slice(&key[..4]);
    let bits = u32::from_ne_bytes(bits) as usize;
    let mut key = key.to_vec();
    for (at, byte) in key[4..].iter_mut().enumerate() {
        *byte &= !0xff_u8.checked_shr(bits.saturating_sub(at * 8).min(8) as u32).unwrap_or(0);
    }
    key
}

/// The second pass, not atomic: a write of a new program between a lookup and the update after it is lost. The snapshot is written last: of a
/// process that is killed before that, the entry is settled again, and what is added up is added twice. Written first, all of it would be lost.
pub(in crate::transfer) fn settle(
    transfer: &Transfer<'_>,
    base: &Map,
    pieces: &Pieces,
    options: &mut TransferOptions<'_>,
) -> Result<Settled, TransferError> {
    let Transfer { from, to, .. } = *transfer;
    let method = options.method.unwrap_or(Method::Batch);
    let indexes = indexes(from, to);
    let mut settling = Settling {
        merging: Merging { pieces, part: parts(from) },
        from: Exact::new(from, method)?,
        to: Exact::new(to, method)?,
        base: Exact::new(base, method)?,
        settled: Settled { method: Some(method), ..Settled::default() },
    };
    if !is_array(from.info().map_type) && !options.keep_gone {
        settling.delete_gone(method)?;
    }
    let mut done = 0;
    each_entry(from, method, &mut |key, value| {
        if !has_place(key, indexes) {
            return Ok(());
        }
        settling.entry(key, value)?;
        done += 1;
        options.tell(done, indexes.map(u64::from));
        Ok(())
    })?;
    Ok(settling.settled)
}

struct Settling<'a> {
    merging: Merging<'a>,
    from: Exact<'a>,
    to: Exact<'a>,
    base: Exact<'a>,
    settled: Settled,
}

impl Settling<'_> {
    /// Deletes what old programs deleted. An entry that new programs changed holds what they counted.
    fn delete_gone(&mut self, method: Method) -> Result<(), TransferError> {
        let mut gone = Vec::new();
        each_entry(self.base.map, method, &mut |key, value| {
            if self.from.get(key)?.is_none() {
                gone.push((key.to_vec(), value.to_vec()));
            }
            Ok(())
        })?;
        for (key, before) in gone {
            match self.to.get(&key)? {
                Some(new) if new == before => self.settled.deleted += u64::from(self.to.delete(&key)?),
                Some(mut new) => {
                    if self.merging.take(&mut new, &before) {
                        self.to.put(&key, &new, Put::IfThere)?;
                    }
                    self.settled.kept_new += 1;
                }
                None => {}
            }
            self.base.delete(&key)?;
        }
        Ok(())
    }

    /// Settles an entry of the old map.
    fn entry(&mut self, key: &[u8], old: &[u8]) -> Result<(), TransferError> {
        let before = self.base.get(key)?;
        if before.as_deref() == Some(old) {
            return Ok(());
        }
        let new = match (self.to.get(key)?, &before) {
            (Some(new), _) => Some(new),
            (None, None) if self.to.put(key, old, Put::IfAbsent)? => {
                self.settled.inserted += 1;
                None
            }
            (None, None) => self.to.get(key)?,
            (None, Some(before)) => {
                self.settled.dropped += u64::from(!self.merging.same_sums(old, before));
                None
            }
        };
        if let Some(mut new) = new
            && self.merging.merge(&mut new, old, before.as_deref(), &mut self.settled)
        {
            self.to.put(key, &new, Put::IfThere)?;
        }
        self.base.put(key, old, Put::Any)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behind_a_prefix_do_not_count() {
        let key = |bits: u32, data: [u8; 3]| [&bits.to_ne_bytes()[..], &data].concat();
        assert_eq!(prefix(&key(0, [1, 2, 3])), key(0, [0, 0, 0]));
        assert_eq!(prefix(&key(9, [0xff, 0xff, 0xff])), key(9, [0xff, 0x80, 0]));
        assert_eq!(prefix(&key(16, [1, 2, 3])), key(16, [1, 2, 0]));
        assert_eq!(prefix(&key(24, [1, 2, 3])), key(24, [1, 2, 3]));
    }
}
