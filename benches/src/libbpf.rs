//! libbpf, as a loader written in C would call it.
#![allow(unsafe_code, reason = "libbpf is a C library")]

use std::collections::HashSet;
use std::ffi::CStr;
use std::{io, slice};

use libbpf_sys as sys;

use crate::walk::Tally;

const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const RESTRICT: u32 = 11;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// Turns off what libbpf writes to standard error.
pub fn be_quiet() {
    // SAFETY: without a callback libbpf prints nothing.
    unsafe { sys::libbpf_set_print(None) };
}

/// Opens an object and closes it. Nothing is loaded into the kernel.
///
/// # Errors
/// Where libbpf does not open it.
pub fn open_and_close(bytes: &[u8]) -> io::Result<()> {
    let options = sys::bpf_object_open_opts {
        sz: size_of::<sys::bpf_object_open_opts>() as sys::size_t,
        object_name: c"o".as_ptr(),
        ..Default::default()
    };
    // SAFETY: the buffer and the options outlive the object, which is closed this once, if there is one.
    unsafe {
        let object = sys::bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as sys::size_t, &raw const options);
        if object.is_null() {
            return Err(io::Error::last_os_error());
        }
        sys::bpf_object__close(object);
    }
    Ok(())
}

/// BTF that libbpf has parsed.
#[derive(Debug)]
pub struct Btf(*mut sys::btf);

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a function that makes a `struct btf`, and is freed this once.
        unsafe { sys::btf__free(self.0) }
    }
}

impl Btf {
    fn new(btf: *mut sys::btf) -> io::Result<Self> {
        if btf.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(btf)) }
    }

    /// `btf__new`.
    ///
    /// # Errors
    /// Where libbpf finds the bytes invalid.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        // SAFETY: libbpf copies `len` bytes from the pointer.
        Self::new(unsafe { sys::btf__new(bytes.as_ptr().cast(), len) })
    }

    /// `btf__parse`.
    ///
    /// # Errors
    /// Where libbpf can't read the file.
    pub fn from_file(path: &CStr) -> io::Result<Self> {
        // SAFETY: the path ends in NUL; the second parameter may be null.
        Self::new(unsafe { sys::btf__parse(path.as_ptr(), std::ptr::null_mut()) })
    }

    /// `btf__load_vmlinux_btf`, which maps the file into memory where the kernel allows that.
    ///
    /// # Errors
    /// Where libbpf does not find the kernel's BTF.
    pub fn of_kernel() -> io::Result<Self> {
        // SAFETY: takes nothing.
        Self::new(unsafe { sys::btf__load_vmlinux_btf() })
    }

    /// Number of types.
    #[must_use]
    pub fn len(&self) -> u32 {
        // SAFETY: the BTF is not freed yet.
        unsafe { sys::btf__type_cnt(self.0) }
    }

    /// True where there is no type but `void`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// Visits the struct `name` whole.
    #[must_use]
    pub fn walk(&self, name: &CStr) -> Tally {
        let (mut tally, mut seen) = (Tally::default(), HashSet::new());
        // SAFETY: the BTF is not freed yet, and the name ends in NUL.
        let id = unsafe { sys::btf__find_by_name_kind(self.0, name.as_ptr(), STRUCT) };
        if let Ok(id) = u32::try_from(id)
            && id != 0
        {
            seen.insert(id);
            self.visit(self.ty(id), &mut tally, &mut seen);
        }
        tally
    }

    fn ty(&self, id: u32) -> &sys::btf_type {
        // SAFETY: the BTF is not freed yet. Every id in here comes from libbpf, which checked when it parsed the BTF that
        // all ids are of types that exist; for those the pointer is not null, and valid as long as the BTF.
        unsafe { &*sys::btf__type_by_id(self.0, id) }
    }

    /// Bytes of the name at `offset`, counted as C does.
    fn name_len(&self, offset: u32) -> u64 {
        // SAFETY: the offset was checked by libbpf (`btf_validate_str`), so that this is a string that ends in NUL.
        unsafe { CStr::from_ptr(sys::btf__name_by_offset(self.0, offset)) }.count_bytes() as u64
    }

    /// The records behind `ty`.
    fn records<T>(&self, ty: &sys::btf_type) -> &[T] {
        let count = (ty.info & 0xffff) as usize;
        // SAFETY: `T` is what the kind of `ty` is followed by, `vlen` times; libbpf checked that they are there
        // (`btf_type_size`). All are made of 32-bit words, and aligned as such.
        unsafe { slice::from_raw_parts((&raw const *ty).add(1).cast(), count) }
    }

    fn visit(&self, ty: &sys::btf_type, tally: &mut Tally, seen: &mut HashSet<u32>) {
        tally.name_bytes += self.name_len(ty.name_off);
        match kind(ty) {
            STRUCT | UNION => {
                tally.composites += 1;
                let has_bits = ty.info >> 31 == 1;
                for member in self.records::<sys::btf_member>(ty) {
                    tally.members += 1;
                    tally.offset_bits += u64::from(if has_bits { member.offset & 0x00ff_ffff } else { member.offset });
                    tally.bits += u64::from(if has_bits { member.offset >> 24 } else { 0 });
                    tally.name_bytes += self.name_len(member.name_off);
                    self.visit_member(member.type_, tally, seen);
                }
            }
            ENUM => {
                tally.enums += 1;
                for enumerator in self.records::<sys::btf_enum>(ty) {
                    tally.enumerators += 1;
                    tally.name_bytes += self.name_len(enumerator.name_off);
                }
            }
            _ => {
                tally.enums += 1;
                for enumerator in self.records::<sys::btf_enum64>(ty) {
                    tally.enumerators += 1;
                    tally.name_bytes += self.name_len(enumerator.name_off);
                }
            }
        }
    }

    fn visit_member(&self, mut id: u32, tally: &mut Tally, seen: &mut HashSet<u32>) {
        loop {
            let ty = self.ty(id);
            match kind(ty) {
                TYPEDEF..=RESTRICT | TYPE_TAG => {
                    // SAFETY: these kinds use the union as a type id; both of its arms are 32-bit numbers.
                    id = unsafe { ty.__bindgen_anon_1.type_ };
                }
                ARRAY => {
                    // SAFETY: the record of an array is followed by one `struct btf_array`.
                    id = unsafe { (*(&raw const *ty).add(1).cast::<sys::btf_array>()).type_ };
                }
                PTR => {
                    tally.pointers += 1;
                    return;
                }
                STRUCT | UNION | ENUM | ENUM64 => {
                    if seen.insert(id) {
                        self.visit(ty, tally, seen);
                    }
                    return;
                }
                _ => return,
            }
        }
    }
}

fn kind(ty: &sys::btf_type) -> u32 {
    (ty.info >> 24) & 0x1f
}
