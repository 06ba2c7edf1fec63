//! The types of the kernel that runs.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Its BTF, some megabytes.
///
/// # Errors
/// ENOENT if the kernel was built without it.
pub fn vmlinux_btf() -> io::Result<Vec<u8>> {
    let mut file = File::open(PATH)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    // Since Linux 6.16. A read hands out no more than a page at a time.
    if let Some(bytes) = mapped(&file, len) {
        return Ok(bytes);
    }
    let mut bytes = Vec::with_capacity(len);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn mapped(file: &File, len: usize) -> Option<Vec<u8>> {
    // SAFETY: a new mapping at an address that the kernel chooses.
    let address = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }.ok()?;
    // SAFETY: all of the mapping, which nobody writes while the kernel runs.
    let bytes = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), len) }.to_vec();
    // SAFETY: nothing refers to the mapping any more.
    _ = unsafe { munmap(address, len) };
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_a_read_tells() {
        assert_eq!(vmlinux_btf().ok(), std::fs::read(PATH).ok());
    }
}
