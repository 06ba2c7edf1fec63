//! What programs count, in an array of one value.

use std::io;

use super::super::emit::inputs::{COUNTS, Count};
use super::super::error::TransferError;
use super::super::types::{Method, Settled};
use super::programs::work;
use crate::sys::Map;

/// An array for it.
pub(in crate::transfer) fn new() -> io::Result<Map> {
    work(COUNTS * 8, 1)
}

fn words(counts: &Map) -> Result<Vec<u8>, TransferError> {
    let words =
        counts.lookup(&0_u32.to_ne_bytes()).map_err(TransferError::kernel(counts, "reading what was counted"))?;
    Ok(words.unwrap_or_default())
}

fn number(words: &[u8], count: Count) -> u64 {
    let word = words.chunks_exact(8).nth(count as usize).and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_ne_bytes)
}

/// One of the numbers.
pub(in crate::transfer) fn get(counts: &Map, count: Count) -> Result<u64, TransferError> {
    Ok(number(&words(counts)?, count))
}

/// What programs that settle have done.
pub(in crate::transfer) fn settled(counts: &Map) -> Result<Settled, TransferError> {
    let words = words(counts)?;
    let of = |count| number(&words, count);
    Ok(Settled {
        added: of(Count::Added),
        changed: of(Count::Changed),
        inserted: of(Count::Inserted),
        deleted: of(Count::Deleted),
        dropped: of(Count::Dropped),
        kept_new: of(Count::KeptNew),
        not_carried: of(Count::NotCarried),
        maybe_another: of(Count::MaybeAnother),
        method: Some(Method::Kernel),
        ..Settled::default()
    })
}

/// How many entries failed, and the error of the last; none if none did.
pub(in crate::transfer) fn failed(counts: &Map) -> Result<Option<(u64, io::Error)>, TransferError> {
    let words = words(counts)?;
    let error = i32::try_from(number(&words, Count::Error).cast_signed()).unwrap_or(-libc::EIO);
    let failed = number(&words, Count::Failed);
    Ok((failed > 0).then(|| (failed, io::Error::from_raw_os_error(-error))))
}

/// Forgets what failed.
pub(in crate::transfer) fn forget_failed(counts: &Map) -> Result<(), TransferError> {
    set(counts, Count::Failed, 0)
}

/// Sets one of the numbers.
pub(in crate::transfer) fn set(counts: &Map, count: Count, number: u64) -> Result<(), TransferError> {
    let mut words = words(counts)?;
    if let Some(word) = words.chunks_exact_mut(8).nth(count as usize) {
        word.copy_from_slice(&number.to_ne_bytes());
    }
    write(counts, &words)
}

/// Begins anew.
pub(in crate::transfer) fn forget(counts: &Map) -> Result<(), TransferError> {
    write(counts, &vec![0; counts.value_bytes()])
}

fn write(counts: &Map, words: &[u8]) -> Result<(), TransferError> {
    let failed = TransferError::kernel(counts, "writing what was counted");
    counts.update(&0_u32.to_ne_bytes(), words, 0).map_err(failed)
}
