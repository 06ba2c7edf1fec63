//! Runs a program over the entries of a map: by reading an iterator, or by test runs over indexes or keys. No stretch in the kernel
//! is longer than about a millisecond.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::OnceLock;

use maplock_layout::btf::{self, BtfKind};
use maplock_layout::map::MapType;

use super::super::calls::plain;
use super::super::emit::inputs::slot;
use super::super::error::TransferError;
use crate::sys::consts::BPF_F_MMAPABLE;
use crate::sys::{self, Link, Map, Mmap, NewMap, Prog};

/// Keys that are handed to a program at a time.
const KEYS: u32 = 1024;

/// Hears of a chunk: its entries, and how many there are in all, if that is known.
pub(super) type Each<'a> = &'a mut dyn FnMut(u64, Option<u64>) -> Result<(), TransferError>;

/// Hears of keys, and which of them a program marked.
pub(super) type EachKeys<'a> = &'a mut dyn FnMut(&[u8], &[bool]) -> Result<(), TransferError>;

/// Runs an iterator's program over the entries of a map, so many for each read that it takes about a millisecond.
pub(in crate::transfer) fn iterate(prog: &Prog, over: &Map, each: Each<'_>) -> Result<u64, TransferError> {
    iterate_by(prog, over, usize::MAX, each)
}

/// The same, at most so many for each read.
pub(super) fn iterate_by(prog: &Prog, over: &Map, most: usize, each: Each<'_>) -> Result<u64, TransferError> {
    let link = Link::iterate_map(prog.as_fd(), over.as_fd()).map_err(TransferError::kernel(over, "iterating"))?;
    let iterator = link.open_iterator().map_err(TransferError::kernel(over, "iterating"))?;
    let mut buffer = vec![0; ((256 << 10) / (over.value_bytes() + 64)).clamp(16, 1024).min(most)];
    let mut entries = 0;
    loop {
        match rustix::io::read(&iterator, &mut buffer) {
            Ok(0) => return Ok(entries),
            Ok(read) => {
                // 1 for each entry that the program took, 0 where it is another's.
                let taken = buffer[..read].iter().map(|byte| u64::from(*byte)).sum();
                entries += taken;
                each(taken, None)?;
            }
            // AGAIN is no end: the kernel says it after a million entries.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(TransferError::kernel(over, "iterating")(error.into())),
        }
    }
}

/// Runs a program over the indexes below `total`, in chunks of at most so many.
pub(super) fn run_over_indexes(
    prog: &Prog,
    over: &Map,
    (total, most): (u32, usize),
    each: Each<'_>,
) -> Result<u64, TransferError> {
    let mut start = 0;
    let chunk = ((1 << 20) / over.value_bytes().max(1)).clamp(16, 16384).min(most);
    let chunk = u32::try_from(chunk).unwrap_or(1);
    while start < total {
        let entries = chunk.min(total - start);
        run(prog, start, entries).map_err(TransferError::kernel(over, "running a program"))?;
        start += entries;
        each(entries.into(), Some(total.into()))?;
    }
    Ok(total.into())
}

/// Runs a program for `count` indexes from `start` on.
pub(in crate::transfer) fn run(prog: &Prog, start: u32, count: u32) -> io::Result<()> {
    // `struct __sk_buff`, up to the first two words of `cb`. The packet is the shortest that is taken.
    let mut context = [0; 56];
    context[48..52].copy_from_slice(&start.to_ne_bytes());
    context[52..56].copy_from_slice(&count.to_ne_bytes());
    prog.run(&mut context, &[0; 64]).map(drop)
}

/// Runs a program over the keys of a trie, which user space reads. `each` gets the keys, and which of them it marked.
pub(super) fn run_over_keys(prog: &Prog, over: &Map, array: &Map, each: EachKeys<'_>) -> Result<(), TransferError> {
    let key_size = over.info().key_size;
    let mut slots = Slots::new(array, key_size).map_err(TransferError::kernel(over, "mapping keys"))?;
    plain::each_batch(over, &mut |keys, _| slots.run_all(prog, over, keys, each))
}

/// Runs a program over some keys of a trie.
pub(super) fn run_for_keys(prog: &Prog, over: &Map, array: &Map, keys: &[u8]) -> Result<(), TransferError> {
    let key_size = over.info().key_size;
    let mut slots = Slots::new(array, key_size).map_err(TransferError::kernel(over, "mapping keys"))?;
    slots.run_all(prog, over, keys, &mut |_, _| Ok(()))
}

/// The array through which keys get to a program, mapped.
struct Slots {
    memory: Mmap,
    key_size: usize,
    slot_size: usize,
}

/// That array.
pub(super) fn keys_array(key_size: u32) -> io::Result<Map> {
    let size = u32::try_from(slot::size(key_size)).map_err(io::Error::other)?;
    let mut new = NewMap::new(MapType::ARRAY, 4, size, KEYS);
    new.flags = BPF_F_MMAPABLE;
    new.name = "maplock_keys";
    Map::create(&new)
}

impl Slots {
    fn new(array: &Map, key_size: u32) -> io::Result<Self> {
        let memory = Mmap::new(array)?;
        Ok(Self { memory, key_size: key_size as usize, slot_size: slot::size(key_size) })
    }

    fn run_all(&mut self, prog: &Prog, over: &Map, keys: &[u8], each: EachKeys<'_>) -> Result<(), TransferError> {
        keys.chunks(KEYS as usize * self.key_size).try_for_each(|keys| {
            let marked = self.run(prog, keys).map_err(TransferError::kernel(over, "running a program"))?;
            each(keys, &marked)
        })
    }

    /// Runs a program for up to [`KEYS`] keys; returns which of them it marked.
    fn run(&mut self, prog: &Prog, keys: &[u8]) -> io::Result<Vec<bool>> {
        let count = keys.len() / self.key_size;
        let mut bytes = vec![0; self.slot_size];
        for (at, key) in keys.chunks_exact(self.key_size).enumerate() {
            let mut prefix = [0; 4];
            prefix.copy_from_slice(&key[..4]);
            let prefix = u32::from_ne_bytes(prefix);
            let shorter = slot::KEY + slot::key_room(self.key_size as u32);
            bytes[slot::HAS_SHORTER..][..4].copy_from_slice(&u32::from(prefix > 0).to_ne_bytes());
            bytes[slot::KEY..][..self.key_size].copy_from_slice(key);
            bytes[shorter..][..self.key_size].copy_from_slice(key);
            bytes[shorter..][..4].copy_from_slice(&prefix.saturating_sub(1).to_ne_bytes());
            self.memory.write(at * self.slot_size, &bytes);
        }
        run(prog, 0, u32::try_from(count).map_err(io::Error::other)?)?;
        let marked = (0..count).map(|at| {
            let mut word = [0; 4];
            self.memory.read(at * self.slot_size + slot::MARKED, &mut word);
            word != [0; 4]
        });
        Ok(marked.collect())
    }
}

/// The CPUs that run; none if that can't be told.
pub(super) fn online_cpus() -> BTreeSet<u32> {
    sys::online_cpus().unwrap_or_default()
}

/// Those of the CPUs on which a thread of this process may run.
pub(super) fn usable_cpus(cpus: &BTreeSet<u32>) -> BTreeSet<u32> {
    let usable = || cpus.iter().copied().filter(|cpu| sys::run_on_cpu(*cpu).is_ok()).collect();
    std::thread::scope(|scope| scope.spawn(usable).join()).unwrap_or_default()
}

/// The BTF id of the function whose type iterators over map elements have, in the kernel that runs.
pub(in crate::transfer) fn iterator_btf_id() -> io::Result<u32> {
    static ID: OnceLock<u32> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(*id);
    }
    let bytes = sys::vmlinux_btf()?;
    let lacking = |what: String| io::Error::new(io::ErrorKind::Unsupported, what);
    let btf = btf::Btf::parse(&bytes).map_err(|error| lacking(error.to_string()))?;
    let function = btf.find(&[BtfKind::Func], "bpf_iter_bpf_map_elem");
    let function =
        function.ok_or_else(|| lacking("this kernel has no iterator over the entries of maps".to_owned()))?;
    Ok(*ID.get_or_init(|| function.id))
}
