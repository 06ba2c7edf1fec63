//! Calls that maplock has no use for, and a fact is about.
#![allow(unsafe_code, reason = "libc and libbpf are C libraries")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// `BPF_OBJ_GET` with `BPF_F_PATH_FD`: of a name in an open directory.
pub fn open_pin_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    const BPF_F_PATH_FD: u32 = 1 << 14;
    let options = libbpf_sys::bpf_obj_get_opts {
        sz: size_of::<libbpf_sys::bpf_obj_get_opts>() as libbpf_sys::size_t,
        file_flags: BPF_F_PATH_FD,
        path_fd: dir.as_raw_fd(),
    };
    // SAFETY: the name ends with a zero; both outlive the call.
    let fd = unsafe { libbpf_sys::bpf_obj_get_opts(name.as_ptr(), &raw const options) };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel has just opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An exclusive lock of the open file description (`F_OFD_SETLK`).
pub fn lock_description(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a C struct of numbers, for which zeros are good.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: the kernel reads the struct, which outlives the call.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `bpf_map__set_pin_path(map, NULL)`, which libbpf-rs can't say.
pub fn clear_pin_path(map: std::ptr::NonNull<libbpf_sys::bpf_map>) {
    // SAFETY: the caller has it from an open object, on which it holds a mutable reference.
    assert_eq!(unsafe { libbpf_sys::bpf_map__set_pin_path(map.as_ptr(), std::ptr::null()) }, 0);
}

/// The memory that a skeleton takes for the map's, copied.
pub fn initial_value(map: std::ptr::NonNull<libbpf_sys::bpf_map>) -> Vec<u8> {
    let mut size: libbpf_sys::size_t = 0;
    // SAFETY: the caller has it from a loaded object. What is returned is null or `size` bytes of that object.
    unsafe {
        let value = libbpf_sys::bpf_map__initial_value(map.as_ptr(), &raw mut size);
        assert!(!value.is_null());
        std::slice::from_raw_parts(value.cast::<u8>(), size as usize).to_vec()
    }
}

/// An array, by the kernel's call alone: maplock and libbpf raise the limit of locked memory and try again.
pub fn create_array(value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    const BPF_MAP_CREATE: libc::c_long = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    let attr: [u32; 4] = [BPF_MAP_TYPE_ARRAY, 4, value_size, max_entries];
    // SAFETY: the kernel reads the numbers, which outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, attr.as_ptr(), size_of_val(&attr)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A function of this binary by name, for a probe that nothing else runs into.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn maplock_fact_35_probed() {
    std::hint::black_box(());
}
