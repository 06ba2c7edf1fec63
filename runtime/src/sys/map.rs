//! Maps in the kernel, and their entries as bytes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use maplock_layout::map::MapType;
use maplock_layout::map_type::Values;

use super::btf::Btf;
use super::cpus::possible_cpus;
use super::fdinfo::FdInfo;
use super::named::Named;
use super::syscall::{Cmd, addr, bpf, bpf_fd, fd_by_id, name_of, next_id, object_info, object_name, raw};

/// A map in the kernel, with what the kernel tells of it. Buffers are sized from that alone.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    info: MapInfo,
    /// Bytes of a value as system calls hand it out: for every possible CPU in per-CPU maps.
    value_bytes: usize,
}

/// `struct bpf_map_info`, as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapInfo {
    /// The type.
    pub map_type: MapType,
    /// The kernel's number for this map, which no other map gets until that number wraps.
    pub id: u32,
    /// Bytes of a key; 0 for maps without one.
    pub key_size: u32,
    /// Bytes of a value; of one CPU's value in a per-CPU map.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `BPF_F_*`, as the kernel keeps them.
    pub flags: u32,
    /// Up to 15 bytes of its name.
    pub name: String,
    /// Id of its BTF, 0 if it has none.
    pub btf_id: u32,
    /// Type of the key in that BTF.
    pub btf_key_type_id: u32,
    /// Type of the value in that BTF.
    pub btf_value_type_id: u32,
    /// Extra data of some types.
    pub map_extra: u64,
}

#[repr(C)]
#[derive(Default)]
struct RawInfo {
    map_type: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    btf_vmlinux_value_type_id: u32,
    netns_dev: u64,
    netns_ino: u64,
    btf_id: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    btf_vmlinux_id: u32,
    map_extra: u64,
}

/// What a new map is to be.
#[derive(Debug, Clone)]
pub struct NewMap<'a> {
    /// The type.
    pub map_type: MapType,
    /// Its name; the kernel keeps 15 bytes.
    pub name: &'a str,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// NUMA node, if the flags say so.
    pub numa_node: u32,
    /// Extra data of some types.
    pub map_extra: u64,
    /// BTF, and in it the types of key and value.
    pub btf: Option<(&'a Btf, u32, u32)>,
    /// For maps in maps: a map like those that it will hold.
    pub inner: Option<BorrowedFd<'a>>,
}

impl NewMap<'_> {
    /// A map without name, flags or BTF.
    #[must_use]
    pub fn new(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        Self {
            map_type,
            name: "",
            key_size,
            value_size,
            max_entries,
            flags: 0,
            numa_node: 0,
            map_extra: 0,
            btf: None,
            inner: None,
        }
    }
}

#[repr(C)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    btf_vmlinux_value_type_id: u32,
    map_extra: u64,
}

#[repr(C)]
struct ElemAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    /// Or `next_key`.
    value: u64,
    flags: u64,
}

impl Map {
    /// The map behind a descriptor.
    ///
    /// # Errors
    /// The kernel's, if it is none.
    #[doc(hidden)]
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let mut raw = RawInfo::default();
        // SAFETY: plain data, no pointers.
        let info = match unsafe { object_info(fd.as_fd(), &mut raw) } {
            Ok(_) => MapInfo {
                map_type: MapType(raw.map_type),
                id: raw.id,
                key_size: raw.key_size,
                value_size: raw.value_size,
                max_entries: raw.max_entries,
                flags: raw.flags,
                name: name_of(&raw.name),
                btf_id: raw.btf_id,
                btf_key_type_id: raw.btf_key_type_id,
                btf_value_type_id: raw.btf_value_type_id,
                map_extra: raw.map_extra,
            },
            // Before Linux 4.13 there is no such command; fdinfo tells the attributes.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let told = fdinfo(fd.as_fd())?;
                MapInfo {
                    map_type: MapType(told.map_type),
                    id: told.id,
                    key_size: told.key_size,
                    value_size: told.value_size,
                    max_entries: told.max_entries,
                    flags: told.flags,
                    name: String::new(),
                    btf_id: 0,
                    btf_key_type_id: 0,
                    btf_value_type_id: 0,
                    map_extra: told.map_extra,
                }
            }
            Err(error) => return Err(error),
        };
        // `bpf_map_value_size` in kernel/bpf/syscall.c.
        let row = info.map_type.row();
        let value_bytes = match row.values {
            _ if row.per_cpu => (info.value_size as usize).next_multiple_of(8) * possible_cpus()? as usize,
            Values::Fd => 4,
            _ => info.value_size as usize,
        };
        Ok(Self { fd, info, value_bytes })
    }

    /// Creates one.
    ///
    /// # Errors
    /// The kernel's: EINVAL, E2BIG, ENOMEM, EPERM; ENOTSUPP (524) for BTF on a type that keeps none.
    #[doc(hidden)]
    pub fn create(new: &NewMap<'_>) -> io::Result<Self> {
        let mut attr = CreateAttr {
            map_type: new.map_type.0,
            key_size: new.key_size,
            value_size: new.value_size,
            max_entries: new.max_entries,
            map_flags: new.flags,
            inner_map_fd: new.inner.map_or(0, raw),
            numa_node: new.numa_node,
            map_name: object_name(new.name),
            map_ifindex: 0,
            btf_fd: new.btf.map_or(0, |(btf, ..)| raw(btf.as_fd())),
            btf_key_type_id: new.btf.map_or(0, |(_, key, _)| key),
            btf_value_type_id: new.btf.map_or(0, |(.., value)| value),
            btf_vmlinux_value_type_id: 0,
            map_extra: new.map_extra,
        };
        // SAFETY: no pointers; the command opens a descriptor.
        Self::from_fd(unsafe { bpf_fd(Cmd::MapCreate, &mut attr) }?)
    }

    /// One that no kernel made, for what is done with the attributes of a map alone.
    #[cfg(test)]
    pub(crate) fn of_attributes(new: &NewMap<'_>) -> Self {
        let info = MapInfo {
            map_type: new.map_type,
            id: 0,
            key_size: new.key_size,
            value_size: new.value_size,
            max_entries: new.max_entries,
            flags: new.flags,
            name: new.name.to_owned(),
            btf_id: 0,
            btf_key_type_id: 0,
            btf_value_type_id: 0,
            map_extra: new.map_extra,
        };
        let fd = std::fs::File::open("/dev/null").expect("it is everywhere").into();
        Self { fd, value_bytes: info.value_size as usize, info }
    }

    /// The map of that id.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM without CAP_SYS_ADMIN, or in a user namespace.
    #[doc(hidden)]
    pub fn from_id(id: u32) -> io::Result<Self> {
        Self::from_fd(fd_by_id(Cmd::MapGetFdById, id)?)
    }

    /// The id of the next map after `id` on this machine.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    #[doc(hidden)]
    pub fn next_id(id: u32) -> io::Result<Option<u32>> {
        next_id(Cmd::MapGetNextId, id)
    }

    /// Pins it.
    ///
    /// # Errors
    /// EEXIST if the name is taken, EPERM if it holds a dot; else the kernel's.
    #[doc(hidden)]
    pub fn pin(&self, at: &(impl Named + ?Sized)) -> io::Result<()> {
        at.pin(self.as_fd())
    }

    /// Another descriptor of the same map.
    ///
    /// # Errors
    /// EMFILE.
    #[doc(hidden)]
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, info: self.info.clone(), value_bytes: self.value_bytes })
    }

    /// What the kernel tells of it.
    #[must_use]
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of a value as system calls take and return it: in per-CPU maps each possible CPU's, rounded up to 8 bytes.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// What `/proc/self/fdinfo` tells of it.
    ///
    /// # Errors
    /// If that can't be read.
    #[doc(hidden)]
    pub fn fdinfo(&self) -> io::Result<FdInfo> {
        fdinfo(self.as_fd())
    }

    /// True if system calls can't change it any more. The kernel tells that in fdinfo only.
    ///
    /// # Errors
    /// If fdinfo can't be read.
    #[doc(hidden)]
    pub fn is_frozen(&self) -> io::Result<bool> {
        Ok(self.fdinfo()?.frozen)
    }

    /// Bytes of kernel memory that it takes, by the kernel's estimate.
    ///
    /// # Errors
    /// If fdinfo can't be read.
    #[doc(hidden)]
    pub fn memory(&self) -> io::Result<u64> {
        Ok(self.fdinfo()?.memory)
    }

    /// Makes it read-only for system calls, for good.
    ///
    /// # Errors
    /// EBUSY if it is mapped writable, EPERM if it is frozen already; else the kernel's.
    #[doc(hidden)]
    pub fn freeze(&self) -> io::Result<()> {
        let mut attr = raw(self.as_fd());
        // SAFETY: no pointers.
        unsafe { bpf(Cmd::MapFreeze, &mut attr) }.map(drop)
    }

    /// A command about one entry.
    ///
    /// # Safety
    /// What `cmd` reads through `key` and `value` and writes through them is there: of the sizes that the kernel has of this map.
    unsafe fn elem(&self, cmd: Cmd, key: *const u8, value: *mut u8, flags: u64) -> io::Result<()> {
        let mut attr = ElemAttr { map_fd: raw(self.as_fd()), padding: 0, key: addr(key), value: addr(value), flags };
        // SAFETY: the caller vouches for both buffers.
        unsafe { bpf(cmd, &mut attr) }.map(drop)
    }

    pub(super) fn check(&self, what: &str, given: usize, wanted: usize) -> io::Result<()> {
        if given == wanted {
            return Ok(());
        }
        let message = format!("map `{}`: a {what} of {given} bytes was given, it takes {wanted}", self.info.name);
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    fn key_ptr(&self, key: &[u8]) -> io::Result<*const u8> {
        self.check("key", key.len(), self.info.key_size as usize)?;
        Ok(if key.is_empty() { std::ptr::null() } else { key.as_ptr() })
    }

    /// Reads an entry into `value`. False if there is none. Queues and stacks take an empty key, and are peeked.
    ///
    /// # Errors
    /// The kernel's; or that a buffer has not the size that the kernel will use.
    pub fn lookup_into(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        let key = self.key_ptr(key)?;
        self.check("value", value.len(), self.value_bytes)?;
        // SAFETY: both buffers were checked to be of the kernel's sizes.
        found(unsafe { self.elem(Cmd::MapLookupElem, key, value.as_mut_ptr(), 0) })
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// As [`Self::lookup_into`].
    pub fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_bytes];
        Ok(self.lookup_into(key, &mut value)?.then_some(value))
    }

    /// Takes an entry out: of a hash by its key, of a queue or stack with an empty key.
    ///
    /// # Errors
    /// As [`Self::lookup_into`].
    pub fn take(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_bytes];
        Ok(self.take_into(key, &mut value)?.then_some(value))
    }

    /// Takes an entry out, into `value`. False if there is none.
    ///
    /// # Errors
    /// As [`Self::lookup_into`]; ENOTSUPP (524) if the type has no such call: tries, and hashes before Linux 5.14.
    pub fn take_into(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        let key = self.key_ptr(key)?;
        self.check("value", value.len(), self.value_bytes)?;
        // SAFETY: both buffers were checked to be of the kernel's sizes.
        found(unsafe { self.elem(Cmd::MapLookupAndDeleteElem, key, value.as_mut_ptr(), 0) })
    }

    /// Writes an entry. `flags` is `BPF_ANY` (0), `BPF_NOEXIST` (1) or `BPF_EXIST` (2).
    ///
    /// # Errors
    /// E2BIG or ENOSPC if the map is full; else the kernel's.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        let key = self.key_ptr(key)?;
        self.check("value", value.len(), self.value_bytes)?;
        // SAFETY: both buffers were checked to be of the kernel's sizes, and this command writes neither.
        unsafe { self.elem(Cmd::MapUpdateElem, key, value.as_ptr().cast_mut(), flags) }
    }

    /// Deletes an entry. False if there is none.
    ///
    /// # Errors
    /// EINVAL for arrays; else the kernel's.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        let key = self.key_ptr(key)?;
        // SAFETY: the key was checked to be of the kernel's size; there is no value.
        found(unsafe { self.elem(Cmd::MapDeleteElem, key, std::ptr::null_mut(), 0) })
    }

    /// The key that follows `key`, or the first. A key that is not there any more is followed by the first one again.
    ///
    /// # Errors
    /// EOPNOTSUPP if the type can't be iterated; else the kernel's.
    pub fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let key = key.map_or(Ok(std::ptr::null()), |key| self.key_ptr(key))?;
        let mut next = vec![0; self.info.key_size as usize];
        // SAFETY: a key that is given was checked to be of the kernel's size, and that is the size of `next`.
        let is_there = found(unsafe { self.elem(Cmd::MapGetNextKey, key, next.as_mut_ptr(), 0) })?;
        Ok(is_there.then_some(next))
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn fdinfo(fd: BorrowedFd<'_>) -> io::Result<FdInfo> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    FdInfo::parse(&text).ok_or_else(|| io::Error::other("the descriptor is no map's"))
}

/// ENOENT as `false`.
fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
