//! Whether two maps and a snapshot fit each other.

use super::carrier::Carrier;
use super::error::TransferError;
use super::types::{Sum, Transfer, TransferOptions, is_array};
use crate::sys::Map;

impl Transfer<'_> {
    /// Checks that the maps fit each other, and tells who carries the entries over.
    pub(super) fn check(&self, options: &TransferOptions<'_>) -> Result<Carrier, TransferError> {
        let (from, map) = (self.from.info(), self.from.info().name.clone());
        let carrier = Carrier::of(from.map_type).map_err(|reason| TransferError::NotCopyable {
            map,
            map_type: from.map_type,
            reason,
        })?;
        for (other, has_type) in [(Some(self.to), true), (self.base, false)] {
            let Some(other) = other.map(Map::info) else { continue };
            let unlike = |what, old, new| Err(TransferError::Unlike { map: other.name.clone(), what, old, new });
            if has_type && other.map_type != from.map_type {
                return unlike("type", from.map_type.0, other.map_type.0);
            }
            if other.key_size != from.key_size {
                return unlike("key_size", from.key_size, other.key_size);
            }
            if other.value_size != from.value_size {
                return unlike("value_size", from.value_size, other.value_size);
            }
        }
        if is_array(from.map_type) && !options.what_fits {
            check_rest_is_zero(self.from, self.to)?;
        }
        check_sums(self.from, self.sums)?;
        Ok(carrier)
    }
}

/// What a smaller array has no index for must hold nothing.
pub(super) fn check_rest_is_zero(from: &Map, to: &Map) -> Result<(), TransferError> {
    let (of, most) = (from.info(), to.info().max_entries);
    let mut value = vec![0; from.value_bytes()];
    let mut failed = 0;
    for index in most..of.max_entries {
        let read = from.lookup_into(&index.to_ne_bytes(), &mut value);
        read.map_err(TransferError::kernel(from, "reading an entry"))?;
        failed += u64::from(value.iter().any(|byte| *byte != 0));
    }
    match failed {
        0 => Ok(()),
        _ => Err(TransferError::Full { map: to.info().name.clone(), max_entries: most, failed }),
    }
}

/// Members that are added up must be in the value, aligned, and apart.
pub(super) fn check_sums(of: &Map, sums: &[Sum]) -> Result<(), TransferError> {
    let info = of.info();
    let mut sums = sums.to_vec();
    sums.sort_unstable();
    let mut end = 0;
    for sum in sums {
        let fits = sum.offset.checked_add(sum.width).is_some_and(|end| end <= info.value_size);
        if !matches!(sum.width, 4 | 8) || sum.offset % sum.width != 0 || !fits || sum.offset < end {
            return Err(TransferError::Sum { map: info.name.clone(), sum, value_size: info.value_size });
        }
        end = sum.offset + sum.width;
    }
    Ok(())
}
