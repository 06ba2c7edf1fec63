//! Integers where they are: reading and writing them in user space.

use super::Bits;

/// Where the bytes that hold an integer are, and its place in them as one number: first byte, bytes, shift.
fn span(bits: Bits) -> (usize, usize, u32) {
    let first = bits.offset / 8;
    let len = (bits.offset + bits.width).div_ceil(8) - first;
    let into = bits.offset % 8;
    // Bits of a bit-field are counted from the lowest one of little-endian numbers, and from the highest one of others.
    let shift = if cfg!(target_endian = "little") { into } else { len * 8 - into - bits.width };
    (first as usize, len as usize, shift)
}

fn mask(bits: Bits) -> u64 {
    u64::MAX >> (64 - bits.width)
}

/// The integer, as 64 bits in two's complement; `None` if it is not within 8 of the bytes.
pub(super) fn load(bytes: &[u8], bits: Bits) -> Option<u64> {
    let (first, len, shift) = place(bytes.len(), bits)?;
    let mut word = [0; 8];
    let there = bytes.get(first..first + len)?;
    let number = if cfg!(target_endian = "little") {
        word[..len].copy_from_slice(there);
        u64::from_le_bytes(word)
    } else {
        word[8 - len..].copy_from_slice(there);
        u64::from_be_bytes(word)
    };
    let number = number >> shift & mask(bits);
    let unused = 64 - bits.width;
    Some(if bits.signed { ((number << unused).cast_signed() >> unused).cast_unsigned() } else { number })
}

/// Writes the low bits of `number`; `None` if the place is not within 8 of the bytes.
pub(crate) fn store(bytes: &mut [u8], bits: Bits, number: u64) -> Option<()> {
    let (first, len, shift) = place(bytes.len(), bits)?;
    let there = bytes.get_mut(first..first + len)?;
    let mut word = [0; 8];
    if cfg!(target_endian = "little") {
        word[..len].copy_from_slice(there);
        let old = u64::from_le_bytes(word);
        let new = old & !(mask(bits) << shift) | (number & mask(bits)) << shift;
        there.copy_from_slice(&new.to_le_bytes()[..len]);
    } else {
        word[8 - len..].copy_from_slice(there);
        let old = u64::from_be_bytes(word);
        let new = old & !(mask(bits) << shift) | (number & mask(bits)) << shift;
        there.copy_from_slice(&new.to_be_bytes()[8 - len..]);
    }
    Some(())
}

fn place(size: usize, bits: Bits) -> Option<(usize, usize, u32)> {
    if !(1..=64).contains(&bits.width) || bits.offset % 8 + bits.width > 64 {
        return None;
    }
    let end = u64::from(bits.offset) + u64::from(bits.width);
    (end <= size as u64 * 8).then(|| span(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded_and_nothing_else_is_touched() {
        for offset in 0..24 {
            for width in 1..=(64 - offset % 8) {
                for signed in [false, true] {
                    let bits = Bits { offset, width, signed };
                    for number in [0_u64, 1, u64::MAX, 0x1234_5678_9abc_def0] {
                        let mut ones = [0xff; 12];
                        store(&mut ones, bits, number).expect("within");
                        let read = load(&ones, bits).expect("within");
                        assert_eq!(read & mask(bits), number & mask(bits), "{bits:?}");
                        let extended = signed && number >> (width - 1) & 1 == 1;
                        assert_eq!(read & !mask(bits), if extended { !mask(bits) } else { 0 }, "{bits:?}");
                        store(&mut ones, bits, u64::MAX).expect("within");
                        assert_eq!(ones, [0xff; 12], "{bits:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_outside_is_none() {
        let bits = |offset, width| Bits { offset, width, signed: false };
        for (offset, width) in [(0, 0), (0, 65), (1, 64), (60, 8), (64, 1), (u32::MAX, 1)] {
            assert_eq!(load(&[0; 8], bits(offset, width)), None, "{offset} {width}");
            assert_eq!(store(&mut [0; 8], bits(offset, width), 0), None, "{offset} {width}");
        }
    }
}
