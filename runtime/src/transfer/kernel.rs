//! Runs programs over entries: by reading an iterator, or by test runs over indexes or keys. No stretch in the kernel is
//! longer than about a millisecond.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::sync::OnceLock;

use maplock_layout::btf::{self, BtfKind};
use maplock_layout::map::MapType;

use super::calls::plain;
use super::emit::asm::Code;
use super::emit::programs;
use super::emit::writer::{COUNTS, Count, Cpus, Half, Maps, Source, slot};
use super::error::TransferError;
use super::shape::Shape;
use super::types::{Copied, Method, Options, Settled, Transfer, evicts, is_array, is_per_cpu};
use crate::sys::consts::{BPF_F_MMAPABLE, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC};
use crate::sys::{self, Link, Map, Mmap, NewMap, Prog};

/// Keys that are handed to a program at a time.
const KEYS: u32 = 1024;

/// Hashes with room for so many entries are copied by two threads.
pub(super) const LARGE: u32 = 50_000;

/// How often entries are settled again that something else changed at the same moment.
pub(super) const ATTEMPTS: u32 = 16;

/// What the programs of one transfer need.
pub(super) struct Engine<'a> {
    transfer: Transfer<'a>,
    shape: Shape,
    counts: Map,
    /// For each of two programs that run at once.
    scratch: [Map; 2],
    zeros: Map,
    /// For tries: the array through which keys get to the programs.
    keys: Option<Map>,
    /// Keys that are to be deleted, found before any is.
    gone: Option<Map>,
    possible_cpus: u32,
    /// For hashes: the iterator's BTF id.
    btf_id: u32,
}

/// The programs of a second pass, all loaded before the first is run.
pub(super) struct SettleProgs {
    gone: Option<[Prog; 2]>,
    insert: Option<Prog>,
    settle: Prog,
    /// Per-CPU maps: the CPUs on which `settle` runs.
    own: BTreeSet<u32>,
    /// Per-CPU maps: for the values of all others.
    others: Vec<Prog>,
    /// True where no program runs on those others.
    others_are_idle: bool,
}

impl<'a> Engine<'a> {
    pub(super) fn new(transfer: Transfer<'a>, shape: &Shape) -> io::Result<Self> {
        let info = transfer.from.info();
        let array = |size, flags| {
            let mut new = NewMap::new(MapType::ARRAY, 4, size, 1);
            new.flags = flags;
            new.name = "maplock_work";
            Map::create(&new)
        };
        let is_trie = info.map_type.is_trie();
        let keys = is_trie.then(|| keys_array(info.key_size)).transpose()?;
        let gone = (!is_trie && !is_array(info.map_type)).then(|| {
            let over = transfer.base.unwrap_or(transfer.to).info().max_entries;
            let mut new = NewMap::new(MapType::HASH, info.key_size, 1, over);
            new.flags = BPF_F_NO_PREALLOC;
            new.name = "maplock_gone";
            Map::create(&new)
        });
        Ok(Self {
            transfer,
            shape: shape.clone(),
            counts: array(COUNTS * 8, 0)?,
            scratch: [array(info.value_size, 0)?, array(info.value_size, 0)?],
            zeros: array(info.value_size, 0)?,
            keys,
            gone: gone.transpose()?,
            possible_cpus: sys::possible_cpus()?,
            btf_id: if is_trie || is_array(info.map_type) { 0 } else { iterator_btf_id()? },
        })
    }

    fn maps(&self) -> Maps<'_> {
        Maps {
            from: self.transfer.from,
            to: self.transfer.to,
            base: self.transfer.base,
            shape: &self.shape,
            counts: &self.counts,
            scratch: &self.scratch[0],
            zeros: &self.zeros,
            per_cpu: is_per_cpu(self.transfer.from.info().map_type),
            possible_cpus: self.possible_cpus,
        }
    }

    fn source(&self) -> Source<'_> {
        match &self.keys {
            Some(keys) => Source::Keys(keys),
            None if is_array(self.transfer.from.info().map_type) => Source::Indexes,
            None => self.iterator(None),
        }
    }

    fn iterator(&self, half: Option<Half>) -> Source<'_> {
        Source::Iterator { btf_id: self.btf_id, key_size: self.transfer.from.info().key_size, half }
    }

    /// Each CPU of such a map has entries of its own to give away: as many are taken from each.
    fn is_spread(&self) -> bool {
        let to = self.transfer.to.info();
        evicts(to.map_type) && to.flags & BPF_F_NO_COMMON_LRU != 0
    }

    /// The program that copies; two for large hashes, with half of the keys each.
    pub(super) fn copy_progs(&self) -> io::Result<Vec<Prog>> {
        let (maps, source) = (self.maps(), self.source());
        if let Source::Indexes = source
            && !maps.per_cpu
            && let Ok(prog) = programs::copy_plain_array(maps).and_then(Code::load)
        {
            return Ok(vec![prog]);
        }
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let is_large = maps.from.info().max_entries >= LARGE;
        if !matches!(source, Source::Iterator { .. }) || self.is_spread() || cpus < 2 || !is_large {
            return Ok(vec![programs::copy(maps, source)?.load()?]);
        }
        let halves = [Half::One, Half::Other].into_iter().zip(&self.scratch);
        halves
            .map(|(half, scratch)| programs::copy(Maps { scratch, ..maps }, self.iterator(Some(half)))?.load())
            .collect()
    }

    /// Copies all entries.
    pub(super) fn copy(&self, progs: &[Prog], options: &mut Options<'_>) -> Result<Copied, TransferError> {
        let from = self.transfer.from;
        let spread = self.is_spread();
        let copy = |options: &mut Options<'_>| {
            let cpus: Vec<u32> = if spread { online_cpus().into_iter().collect() } else { Vec::new() };
            let mut next = cpus.iter().cycle();
            let mut done = 0;
            if let Some(cpu) = next.next() {
                _ = sys::run_on_cpu(*cpu);
            }
            self.drive_all(progs, from, &mut |entries, total| {
                done += entries;
                options.tell(done, total);
                if let Some(cpu) = next.next() {
                    _ = sys::run_on_cpu(*cpu);
                }
                self.check_failed()
            })
        };
        let entries = if spread {
            // On a thread of its own, which goes from CPU to CPU.
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let copying = scope.spawn(move || {
                    let mut tell = |done, total| _ = sender.send((done, total));
                    copy(&mut Options { progress: Some(&mut tell), ..Options::default() })
                });
                for (done, total) in receiver {
                    options.tell(done, total);
                }
                copying.join().unwrap_or_else(|panic| resume_unwind(panic))
            })
        } else {
            copy(options)
        }?;
        Ok(Copied { entries, method: Some(Method::Kernel), ..Copied::default() })
    }

    pub(super) fn settle_progs(&self) -> io::Result<SettleProgs> {
        let (maps, source) = (self.maps(), self.source());
        let gone = match &self.gone {
            Some(gone) => {
                let over_gone = self.iterator(None);
                Some([
                    programs::find_gone(maps, source, Some(gone))?.load()?,
                    programs::delete_gone(maps, over_gone)?.load()?,
                ])
            }
            None if self.keys.is_some() => {
                Some([programs::find_gone(maps, source, None)?.load()?, programs::delete_gone(maps, source)?.load()?])
            }
            None => None,
        };
        if !maps.per_cpu {
            let settle = programs::settle(maps, source)?.load()?;
            return Ok(SettleProgs {
                gone,
                insert: None,
                settle,
                own: BTreeSet::new(),
                others: Vec::new(),
                others_are_idle: true,
            });
        }
        let insert = self.gone.is_some().then(|| programs::insert(maps, source)?.load()).transpose()?;
        let settle = programs::settle_cpu(maps, source, &Cpus::Own)?.load()?;
        let online = online_cpus();
        let own = usable_cpus(&online);
        let others: Vec<u32> = (0..self.possible_cpus).filter(|cpu| !own.contains(cpu)).collect();
        let others_are_idle = others.iter().all(|cpu| !online.contains(cpu));
        let others: io::Result<Vec<Prog>> = others
            .chunk_by(|one, next| one + 1 == *next)
            .map(|cpus| programs::settle_cpu(maps, source, &Cpus::Range(cpus[0]..cpus[cpus.len() - 1] + 1))?.load())
            .collect();
        Ok(SettleProgs { gone, insert, settle, own, others: others?, others_are_idle })
    }

    /// Settles all entries.
    pub(super) fn settle(&self, progs: &SettleProgs, options: &mut Options<'_>) -> Result<Settled, TransferError> {
        let to = self.transfer.to;
        match (progs.gone.as_ref().filter(|_| !options.keep_gone), &self.gone) {
            (Some([find, delete]), Some(gone)) if !evicts(to.info().map_type) => {
                // Both at once: they are about different keys.
                let settled = std::thread::scope(|scope| {
                    let finding = scope.spawn(|| self.drive(find, self.over(), &mut |_, _| Ok(())));
                    let settled = self.settle_entries(progs, options);
                    finding.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                    settled
                });
                let is_full = matches!(settled, Err(TransferError::Full { .. }));
                if is_full {
                    self.forget_failed()?;
                } else {
                    settled?;
                }
                // What old programs deleted makes room.
                self.delete_found(delete, gone)?;
                if is_full {
                    self.settle_entries(progs, options)?;
                }
                self.check_failed()?;
            }
            (Some([find, delete]), Some(gone)) => {
                // First, since an LRU map without room evicts other entries.
                self.drive(find, self.over(), &mut |_, _| self.check_failed())?;
                self.delete_found(delete, gone)?;
                self.settle_entries(progs, options)?;
            }
            (Some([find, delete]), None) => {
                self.delete_gone_keys(find, delete)?;
                self.settle_entries(progs, options)?;
            }
            (None, _) => self.settle_entries(progs, options)?,
        }
        let settled = settled(&self.counts)?;
        let exact = self.shape.is_atomic() && progs.others_are_idle && settled.not_carried == 0;
        Ok(Settled { exact, ..settled })
    }

    fn settle_entries(&self, progs: &SettleProgs, options: &mut Options<'_>) -> Result<(), TransferError> {
        let Transfer { from, to, .. } = self.transfer;
        // An entry for which there is no room keeps no other from being settled.
        let mut insert = progs.insert.as_ref();
        for attempt in 1.. {
            let (before, missing) = (self.counted(Count::Again)?, self.counted(Count::Missing)?);
            if is_per_cpu(from.info().map_type) {
                self.on_each_cpu(&progs.settle, &progs.own)?;
                for prog in &progs.others {
                    self.drive(prog, from, &mut |_, _| Ok(()))?;
                }
            } else {
                let mut done = 0;
                self.drive(&progs.settle, from, &mut |entries, total| {
                    done += entries;
                    options.tell(done, total);
                    Ok(())
                })?;
            }
            // Keys that only the old map has get their places, and are settled then.
            if self.counted(Count::Missing)? != missing
                && let Some(insert) = insert.take()
            {
                self.drive(insert, from, &mut |_, _| Ok(()))?;
                continue;
            }
            if self.counted(Count::Again)? == before {
                break;
            }
            if attempt == ATTEMPTS {
                let error = io::Error::other("entries change faster than they can be settled");
                return Err(TransferError::kernel(to, "settling")(error));
            }
        }
        self.check_failed()
    }

    /// The map whose keys may be gone from the old one.
    fn over(&self) -> &Map {
        self.transfer.base.unwrap_or(self.transfer.to)
    }

    /// Deletes the keys that were found to be gone.
    fn delete_found(&self, delete: &Prog, gone: &Map) -> Result<(), TransferError> {
        if gone.next_key(None).map_err(TransferError::kernel(self.over(), "reading keys"))?.is_some() {
            self.wait_for_inserts()?;
            self.drive(delete, gone, &mut |_, _| self.check_failed())?;
        }
        Ok(())
    }

    /// Without a snapshot, a key without counts may be one that a new program has inserted and is about to count in.
    fn wait_for_inserts(&self) -> Result<(), TransferError> {
        match self.transfer.base {
            None => {
                sys::wait_for_running_programs().map_err(TransferError::kernel(self.over(), "waiting for programs"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Deletes what old programs deleted, in a trie.
    fn delete_gone_keys(&self, find: &Prog, delete: &Prog) -> Result<(), TransferError> {
        let over = self.over();
        let key_size = over.info().key_size as usize;
        let mut gone = Vec::new();
        self.by_keys(find, over, &mut |keys, marked| {
            let keys = keys.chunks_exact(key_size).zip(marked).filter(|(_, marked)| **marked);
            gone.extend(keys.flat_map(|(key, _)| key));
            Ok(())
        })?;
        if gone.is_empty() {
            return Ok(());
        }
        self.wait_for_inserts()?;
        let mut slots = self.slots()?;
        for keys in gone.chunks(key_size * KEYS as usize) {
            slots.run(delete, keys).map_err(TransferError::kernel(over, "deleting"))?;
        }
        Ok(())
    }

    /// Runs programs over the entries of a map, all at once.
    fn drive_all(&self, progs: &[Prog], over: &Map, each: Each<'_>) -> Result<u64, TransferError> {
        if let [prog] = progs {
            return self.drive(prog, over, each);
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let drive = |prog, sender: std::sync::mpsc::Sender<_>| {
                self.drive(prog, over, &mut |entries, total| {
                    _ = sender.send((entries, total));
                    self.check_failed()
                })
            };
            let running: Vec<_> = progs
                .iter()
                .map(|prog| {
                    let sender = sender.clone();
                    scope.spawn(move || drive(prog, sender))
                })
                .collect();
            drop(sender);
            receiver.into_iter().try_for_each(|(entries, total)| each(entries, total))?;
            let done = running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            done.sum()
        })
    }

    /// Runs a program over the entries of a map; `each` hears of each chunk.
    fn drive(&self, prog: &Prog, over: &Map, each: Each<'_>) -> Result<u64, TransferError> {
        match self.source() {
            Source::Iterator { .. } => iterate(prog, over, each),
            // Indexes that only the larger of two arrays has hold nothing: that was checked.
            Source::Indexes => {
                let both = over.info().max_entries.min(self.transfer.to.info().max_entries);
                run_over_indexes(prog, over, both, each)
            }
            Source::Keys(_) => {
                let mut entries = 0;
                self.by_keys(prog, over, &mut |_, marked| {
                    entries += marked.len() as u64;
                    each(marked.len() as u64, None)
                })?;
                Ok(entries)
            }
        }
    }

    /// Runs a program over the keys of a trie, which user space reads. `each` gets the keys, and which of them it marked.
    fn by_keys(&self, prog: &Prog, over: &Map, each: EachKeys<'_>) -> Result<(), TransferError> {
        let mut slots = self.slots()?;
        let chunk = KEYS as usize * over.info().key_size as usize;
        plain::each_batch(over, &mut |keys, _| {
            for keys in keys.chunks(chunk) {
                let marked = slots.run(prog, keys).map_err(TransferError::kernel(over, "running a program"))?;
                each(keys, &marked)?;
            }
            Ok(())
        })
    }

    fn slots(&self) -> Result<Slots, TransferError> {
        let from = self.transfer.from;
        let slots = self.keys.as_ref().ok_or_else(|| io::Error::other("only tries are settled by their keys"));
        slots
            .and_then(|keys| Slots::new(keys, from.info().key_size))
            .map_err(TransferError::kernel(from, "mapping keys"))
    }

    /// Runs a program on each of the CPUs at once, over the values of that CPU.
    fn on_each_cpu(&self, prog: &Prog, cpus: &BTreeSet<u32>) -> Result<(), TransferError> {
        let from = self.transfer.from;
        std::thread::scope(|scope| {
            let running: Vec<_> = cpus
                .iter()
                .copied()
                .map(|cpu| {
                    scope.spawn(move || {
                        sys::run_on_cpu(cpu).map_err(TransferError::kernel(from, "running on another CPU"))?;
                        self.drive(prog, from, &mut |_, _| Ok(()))
                    })
                })
                .collect();
            for thread in running {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            }
            Ok(())
        })
    }

    fn counted(&self, count: Count) -> Result<u64, TransferError> {
        counted(&self.counts, count)
    }

    fn forget_failed(&self) -> Result<(), TransferError> {
        let failed = TransferError::kernel(&self.counts, "writing what was counted");
        let key = 0_u32.to_ne_bytes();
        let mut words = self.counts.lookup(&key).map_err(&failed)?.unwrap_or_default();
        words[Count::Failed as usize * 8..][..8].fill(0);
        self.counts.update(&key, &words, 0).map_err(&failed)
    }

    fn check_failed(&self) -> Result<(), TransferError> {
        let failed = self.counted(Count::Failed)?;
        if failed == 0 {
            return Ok(());
        }
        let error = i32::try_from(self.counted(Count::Error)?.cast_signed()).unwrap_or(-libc::EIO);
        Err(TransferError::write(self.transfer.to, failed, io::Error::from_raw_os_error(-error)))
    }
}

/// One of the numbers that programs count.
pub(super) fn counted(counts: &Map, count: Count) -> Result<u64, TransferError> {
    let values =
        counts.lookup(&0_u32.to_ne_bytes()).map_err(TransferError::kernel(counts, "reading what was counted"))?;
    let words = values.unwrap_or_default();
    let word = words.chunks_exact(8).nth(count as usize).and_then(|word| word.try_into().ok());
    Ok(word.map_or(0, u64::from_ne_bytes))
}

/// What programs that settle have done.
pub(super) fn settled(counts: &Map) -> Result<Settled, TransferError> {
    let counted = |count| counted(counts, count);
    Ok(Settled {
        added: counted(Count::Added)?,
        changed: counted(Count::Changed)?,
        inserted: counted(Count::Inserted)?,
        deleted: counted(Count::Deleted)?,
        dropped: counted(Count::Dropped)?,
        kept_new: counted(Count::KeptNew)?,
        not_carried: counted(Count::NotCarried)?,
        method: Some(Method::Kernel),
        exact: false,
    })
}

/// Hears of a chunk: its entries, and how many there are in all, where that is known.
pub(super) type Each<'a> = &'a mut dyn FnMut(u64, Option<u64>) -> Result<(), TransferError>;

/// Hears of keys, and which of them a program marked.
type EachKeys<'a> = &'a mut dyn FnMut(&[u8], &[bool]) -> Result<(), TransferError>;

/// Runs an iterator's program over the entries of a map, so many for each read that it takes about a millisecond.
pub(super) fn iterate(prog: &Prog, over: &Map, each: Each<'_>) -> Result<u64, TransferError> {
    let link = Link::iterate_map(prog.as_fd(), over.as_fd()).map_err(TransferError::kernel(over, "iterating"))?;
    let iterator = link.open_iterator().map_err(TransferError::kernel(over, "iterating"))?;
    let mut buffer = vec![0; ((256 << 10) / (over.value_bytes() + 64)).clamp(16, 1024)];
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

pub(super) fn run_over_indexes(prog: &Prog, over: &Map, total: u32, each: Each<'_>) -> Result<u64, TransferError> {
    let mut start = 0;
    let chunk = u32::try_from((1 << 20) / over.value_bytes().max(1)).unwrap_or(1).clamp(16, 16384);
    while start < total {
        let entries = chunk.min(total - start);
        run(prog, start, entries).map_err(TransferError::kernel(over, "running a program"))?;
        start += entries;
        each(entries.into(), Some(total.into()))?;
    }
    Ok(total.into())
}

/// Runs a program for `count` indexes from `start` on.
pub(super) fn run(prog: &Prog, start: u32, count: u32) -> io::Result<()> {
    // `struct __sk_buff`, up to the first two words of `cb`. The packet is the shortest that is taken.
    let mut context = [0; 56];
    context[48..52].copy_from_slice(&start.to_ne_bytes());
    context[52..56].copy_from_slice(&count.to_ne_bytes());
    prog.run(&mut context, &[0; 64]).map(drop)
}

/// The array through which keys get to a program, mapped.
struct Slots {
    memory: Mmap,
    key_size: usize,
    slot_size: usize,
}

fn keys_array(key_size: u32) -> io::Result<Map> {
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

pub(super) fn online_cpus() -> BTreeSet<u32> {
    sys::online_cpus().unwrap_or_default()
}

/// Those of the CPUs on which a thread of this process may run.
pub(super) fn usable_cpus(cpus: &BTreeSet<u32>) -> BTreeSet<u32> {
    let usable = || cpus.iter().copied().filter(|cpu| sys::run_on_cpu(*cpu).is_ok()).collect();
    std::thread::scope(|scope| scope.spawn(usable).join()).unwrap_or_default()
}

/// The BTF id of the function whose type iterators over map elements have, in the kernel that runs.
pub(super) fn iterator_btf_id() -> io::Result<u32> {
    static ID: OnceLock<u32> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(*id);
    }
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux")?;
    let btf = btf::Btf::parse(&bytes).map_err(io::Error::other)?;
    let function = btf.find(&[BtfKind::Func], "bpf_iter_bpf_map_elem");
    let function = function.ok_or_else(|| io::Error::other("this kernel has no iterator over the entries of maps"))?;
    Ok(*ID.get_or_init(|| function.id))
}
