//! Maps as libbpf sees them when it opens an object, and as it makes them. No program is loaded into a kernel.
#![allow(unsafe_code, reason = "libbpf is a C library")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{io, ptr, slice};

use libbpf_sys as sys;

/// What libbpf calls the object, and so the first part of the names that it gives to maps of global data.
const OBJECT: &CStr = c"o";

/// `BTF_KIND_DATASEC`.
const DATASEC: u32 = 15;

/// An object that libbpf has opened.
#[derive(Debug)]
pub struct Opened {
    /// Its maps.
    pub maps: Vec<Map>,
    /// The variables of each section that BTF describes, with the offsets that libbpf gave them.
    pub sections: BTreeMap<String, Vec<Variable>>,
}

/// One map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Its name; for global data, that of the section.
    pub name: String,
    /// `BPF_MAP_TYPE_*`.
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// As declared.
    pub map_extra: u64,
    /// As declared.
    pub numa_node: u32,
    /// True where libbpf would pin it.
    pub is_pinned: bool,
    /// The template of a map in maps.
    pub inner: Option<Box<Map>>,
}

/// A variable of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Bytes from the section's start.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Opens an object, of either byte order.
///
/// # Errors
/// Where libbpf does not open it.
pub fn open(bytes: &[u8]) -> Result<Opened, io::Error> {
    let options = sys::bpf_object_open_opts {
        sz: size_of::<sys::bpf_object_open_opts>() as sys::size_t,
        object_name: OBJECT.as_ptr(),
        ..Default::default()
    };
    // SAFETY: without a callback libbpf prints nothing. The buffer and the options outlive the call, and
    // `bpf_object__open_mem` keeps no pointer to the options; `Object` is dropped before `bytes` goes out of scope.
    let object = unsafe {
        sys::libbpf_set_print(None);
        sys::bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as sys::size_t, &raw const options)
    };
    if object.is_null() {
        return Err(io::Error::last_os_error());
    }
    let object = Object(object);
    Ok(Opened { maps: object.maps(), sections: object.sections() })
}

/// Opens an object, creates its maps as libbpf does before it loads programs, and pins each in `dir`. The maps of `skip` are
/// left out. A pin has the name of its map, with `_` for each dot.
///
/// # Errors
/// The kernel's, or libbpf's.
pub fn pin_maps(bytes: &[u8], dir: &Path, skip: &[&str]) -> io::Result<()> {
    let options = sys::bpf_object_open_opts {
        sz: size_of::<sys::bpf_object_open_opts>() as sys::size_t,
        object_name: OBJECT.as_ptr(),
        ..Default::default()
    };
    let check = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) };
    // SAFETY: as in `open`. Paths are strings that end in NUL and outlive the calls, and each map is one of the open object.
    unsafe {
        sys::libbpf_set_print(None);
        let object = sys::bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as sys::size_t, &raw const options);
        if object.is_null() {
            return Err(io::Error::last_os_error());
        }
        let object = Object(object);
        let maps = object.handles();
        for &handle in &maps {
            // A map that is declared as pinned by name is not to be looked for below /sys/fs/bpf.
            check(sys::bpf_map__set_pin_path(handle, ptr::null()))?;
            if skip.contains(&map(handle).name.as_str()) {
                check(sys::bpf_map__set_autocreate(handle, false))?;
            }
        }
        check(sys::bpf_object__prepare(object.0))?;
        for &handle in &maps {
            let name = map(handle).name;
            if !skip.contains(&name.as_str()) {
                let path = dir.join(name.replace('.', "_"));
                let path = CString::new(path.as_os_str().as_bytes())?;
                check(sys::bpf_map__pin(handle, path.as_ptr()))?;
            }
        }
    }
    Ok(())
}

struct Object(*mut sys::bpf_object);

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `bpf_object__open_mem`, and is closed this once.
        unsafe { sys::bpf_object__close(self.0) }
    }
}

impl Object {
    fn maps(&self) -> Vec<Map> {
        // SAFETY: each is a map of an open object.
        self.handles().into_iter().map(|at| unsafe { map(at) }).collect()
    }

    fn handles(&self) -> Vec<*mut sys::bpf_map> {
        let mut maps = Vec::new();
        let mut at: *mut sys::bpf_map = ptr::null_mut();
        loop {
            // SAFETY: the object is open, and `at` is null or one of its maps.
            at = unsafe { sys::bpf_object__next_map(self.0, at) };
            if at.is_null() {
                return maps;
            }
            maps.push(at);
        }
    }

    fn sections(&self) -> BTreeMap<String, Vec<Variable>> {
        let mut sections = BTreeMap::new();
        // SAFETY: the object is open; its BTF, if any, lives as long as it. Ids below `btf__type_cnt` have a record, which
        // `btf__type_by_id` gives in the host's byte order. libbpf checked when it parsed the BTF that a DATASEC of
        // `vlen` variables is followed by as many `struct btf_var_secinfo` (`btf_type_size`), and that their ids are of
        // variables; all are aligned to 4 bytes.
        unsafe {
            let btf = sys::bpf_object__btf(self.0);
            if btf.is_null() {
                return sections;
            }
            let name_of = |ty: *const sys::btf_type| text(sys::btf__name_by_offset(btf, (*ty).name_off));
            for id in 1..sys::btf__type_cnt(btf) {
                let ty = sys::btf__type_by_id(btf, id);
                if ((*ty).info >> 24) & 0x1f != DATASEC {
                    continue;
                }
                let vlen = ((*ty).info & 0xffff) as usize;
                let infos = slice::from_raw_parts(ty.add(1).cast::<sys::btf_var_secinfo>(), vlen);
                let variables = infos.iter().map(|info| Variable {
                    name: name_of(sys::btf__type_by_id(btf, info.type_)),
                    offset: info.offset,
                    size: info.size,
                });
                sections.insert(name_of(ty), variables.collect());
            }
        }
        sections
    }
}

/// # Safety
/// `map` is one of an open object.
unsafe fn map(map: *mut sys::bpf_map) -> Map {
    // SAFETY: all of these read a map of an open object, as the caller promises; an inner map belongs to its outer one.
    unsafe {
        let name = text(sys::bpf_map__name(map));
        let name = match name.strip_prefix("o") {
            Some(section) if sys::bpf_map__is_internal(map) => section.to_owned(),
            _ => name,
        };
        let inner = sys::bpf_map__inner_map(map);
        Map {
            name,
            map_type: sys::bpf_map__type(map),
            key_size: sys::bpf_map__key_size(map),
            value_size: sys::bpf_map__value_size(map),
            max_entries: sys::bpf_map__max_entries(map),
            flags: sys::bpf_map__map_flags(map),
            map_extra: sys::bpf_map__map_extra(map),
            numa_node: sys::bpf_map__numa_node(map),
            is_pinned: !sys::bpf_map__pin_path(map).is_null(),
            inner: (!inner.is_null()).then(|| Box::new(self::map(inner))),
        }
    }
}

/// # Safety
/// `text` is null, or a string that ends in NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a string as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
