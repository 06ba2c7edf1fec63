//! Runs the programs of a transfer, in the order that loses nothing.

use std::collections::BTreeSet;
use std::io;
use std::panic::resume_unwind;

use maplock_layout::map::MapType;

use super::super::clear::clear;
use super::super::emit::asm::Code;
use super::super::emit::inputs::{Count, Cpus, Half, Maps, Over};
use super::super::error::TransferError;
use super::super::inexact::Inexact;
use super::super::types::{Copied, Method, SPREAD, Settled, TransferOptions, evicts, has_slack, is_array, is_spread};
use super::counts;
use super::programs::Programs;
use super::recorded::{Known, Recorded};
use super::run::{
    Each, iterate_by, iterator_btf_id, keys_array, online_cpus, run_for_keys, run_over_indexes, run_over_keys,
    usable_cpus,
};
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{self, Map, NewMap, Prog};

/// Hashes with room for so many entries are copied by two threads. To walk them is a small part of a copy, but half of a comparison, which
/// one thread does in less CPU time.
const LARGE: u32 = 50_000;

/// How often entries are settled again that something else changed at the same moment.
const ATTEMPTS: u32 = 16;

/// A transfer by programs.
pub(in crate::transfer) struct Driver<'a> {
    programs: Box<dyn Programs + 'a>,
    /// For tries: the array through which keys get to the programs.
    keys: Option<Map>,
    /// Keys that are to be deleted, found before any is.
    gone: Option<Map>,
    /// For iterators: the BTF id of what they are.
    btf_id: u32,
}

/// The programs of a second pass, all loaded before the first is run.
pub(in crate::transfer) struct Settling {
    /// Finds and deletes what old programs deleted.
    gone: Option<Gone>,
    insert: Option<Prog>,
    settle: Prog,
    /// Per-CPU maps: the CPUs on which `settle` runs.
    own: BTreeSet<u32>,
    /// Per-CPU maps: for the values of all others.
    others: Vec<Prog>,
    /// Why its steps can lose a write.
    pub(in crate::transfer) inexact: Option<Inexact>,
}

/// Those for keys that are gone from the old map.
struct Gone {
    /// Finds them.
    find: Prog,
    delete: Prog,
}

impl<'a> Driver<'a> {
    pub(in crate::transfer) fn new(programs: impl Programs + 'a) -> io::Result<Self> {
        let from = programs.maps().from.info();
        let over = over(&programs).info();
        let is_trie = from.map_type.is_trie();
        let is_keyed = !is_trie && !is_array(over.map_type);
        let gone = (is_keyed && programs.follows_deletions()).then(|| {
            let mut new = NewMap::new(MapType::HASH, over.key_size, 1, over.max_entries);
            new.flags = BPF_F_NO_PREALLOC;
            new.name = "maplock_gone";
            Map::create(&new)
        });
        let iterates = is_keyed || !is_trie && !is_array(from.map_type);
        Ok(Self {
            keys: is_trie.then(|| keys_array(from.key_size)).transpose()?,
            gone: gone.transpose()?,
            btf_id: if iterates { iterator_btf_id()? } else { 0 },
            programs: Box::new(programs),
        })
    }

    fn from(&self) -> &Map {
        self.programs.maps().from
    }

    fn to(&self) -> &Map {
        self.programs.maps().to
    }

    /// The map whose keys may be gone from the old one.
    fn over(&self) -> &Map {
        over(&*self.programs)
    }

    /// What a program runs over that is for the entries of `map`.
    fn source(&self, map: &Map, half: Option<Half>) -> Over<'_> {
        match &self.keys {
            Some(keys) => Over::Keys(keys),
            None if is_array(map.info().map_type) => Over::Indexes,
            None => Over::Iterator { btf_id: self.btf_id, key_size: map.info().key_size, half, records: None },
        }
    }

    /// The program that copies; two for large hashes, with half of the keys each.
    pub(in crate::transfer) fn load_copying(&self) -> io::Result<Vec<Prog>> {
        if let Some(Ok(prog)) = self.programs.copy_plainly().map(|code| code.and_then(Code::load)) {
            return Ok(vec![prog]);
        }
        if is_spread(self.to()) {
            return Ok(vec![self.programs.copy(self.source(self.from(), None))?.load()?]);
        }
        let from = self.from();
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let is_large = from.info().max_entries >= LARGE && cpus > 1;
        let is_iterated = matches!(self.source(from, None), Over::Iterator { .. });
        let halves: &[_] = match is_large && is_iterated && self.programs.can_be_halved() {
            true => &[Some(Half::One), Some(Half::Other)],
            false => &[None],
        };
        halves.iter().map(|half| self.programs.copy(self.source(from, *half))?.load()).collect()
    }

    /// Copies all entries.
    pub(in crate::transfer) fn copy(
        &self,
        progs: &[Prog],
        options: &mut TransferOptions<'_>,
    ) -> Result<Copied, TransferError> {
        let from = self.from();
        let spread = is_spread(self.to());
        let copy = |options: &mut TransferOptions<'_>| {
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
                    copy(&mut TransferOptions { progress: Some(&mut tell), ..TransferOptions::default() })
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

    /// The programs of the second pass.
    pub(in crate::transfer) fn load_settling(&self) -> io::Result<Settling> {
        let (programs, over) = (&self.programs, self.over());
        let source = self.source(self.from(), None);
        let gone = match (&self.gone, &self.keys) {
            (Some(gone), _) => Some((Some(gone), self.source(gone, None))),
            (None, Some(_)) if programs.follows_deletions() => Some((None, self.source(over, None))),
            (None, _) => None,
        };
        let gone = gone.map(|(gone, over_gone)| {
            let find = programs.find_gone(self.source(over, None), gone)?.load()?;
            Ok::<_, io::Error>(Gone { find, delete: programs.delete_gone(over_gone)?.load()? })
        });
        let gone = gone.transpose()?;
        let maps = programs.maps();
        if !maps.per_cpu {
            let settle = programs.settle(source)?.load()?;
            let own = BTreeSet::new();
            return Ok(Settling { gone, insert: None, settle, own, others: Vec::new(), inexact: self.inexact() });
        }
        let is_keyed = !is_array(over.info().map_type);
        let insert = is_keyed.then(|| programs.insert(source)?.load()).transpose()?;
        let settle = programs.settle_cpus(source, &Cpus::Own)?.load()?;
        let online = online_cpus();
        let own = usable_cpus(&online);
        let others: Vec<u32> = (0..maps.possible_cpus).filter(|cpu| !own.contains(cpu)).collect();
        // Where no program runs, none writes.
        let are_idle = !online.is_empty() && others.iter().all(|cpu| !online.contains(cpu));
        let inexact = self.inexact().or((!are_idle).then_some(Inexact::Cpus));
        let others: io::Result<Vec<Prog>> = others
            .chunk_by(|one, next| one + 1 == *next)
            .map(|cpus| programs.settle_cpus(source, &Cpus::Range(cpus[0]..cpus[cpus.len() - 1] + 1))?.load())
            .collect();
        Ok(Settling { gone, insert, settle, own, others: others?, inexact })
    }

    /// Why the steps of its programs can lose a write, wherever they run.
    fn inexact(&self) -> Option<Inexact> {
        let Maps { to, pieces, .. } = self.programs.maps();
        // Between the look-up and the insertion, a new program may have inserted the same prefix.
        let writes_over = to.info().map_type.is_trie() && !sys::tries_heed_noexist();
        pieces.inexact().or(writes_over.then_some(Inexact::Prefix))
    }

    /// Records a snapshot of so many entries for the last pass. `None` if it can do without.
    pub(in crate::transfer) fn record(&self, entries: u64) -> Option<Recorded> {
        match Recorded::new(&*self.programs, self.btf_id, self.gone.as_ref(), entries) {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::debug!(map = self.from().info().name, %error, "entries are looked up in the snapshot");
                None
            }
        }
    }

    /// Settles all entries. What is known of the snapshot is what is known before; and then, of how many entries it has.
    pub(in crate::transfer) fn settle(
        &self,
        progs: &Settling,
        known: &mut Known,
        options: &mut TransferOptions<'_>,
    ) -> Result<Settled, TransferError> {
        let before = std::mem::take(known);
        let settled = self.settle_all(progs, &before, options)?;
        let (since, gone) = (self.counted(Count::Remembered)?, self.counted(Count::Forgotten)?);
        known.entries = before.entries.and_then(|before| (before + since).checked_sub(gone));
        Ok(settled)
    }

    fn settle_all(
        &self,
        progs: &Settling,
        known: &Known,
        options: &mut TransferOptions<'_>,
    ) -> Result<Settled, TransferError> {
        let recorded = known.recorded.as_ref();
        let counts = self.programs.maps().counts;
        // Where it is run once more, only what that does is told.
        counts::forget(counts)?;
        match progs.gone.as_ref().filter(|_| !options.keep_gone) {
            None => _ = self.settle_entries(progs, recorded, options)?,
            Some(gone) if !self.has_room(known.entries) => {
                // First, since an LRU map without room evicts other entries.
                self.find_gone(gone)?;
                self.delete_gone(gone)?;
                self.settle_entries(progs, recorded, options)?;
            }
            Some(gone) => {
                let settled = self.settle_entries(progs, recorded, options);
                let is_full = matches!(settled, Err(TransferError::Full { .. }));
                if is_full {
                    counts::forget_failed(counts)?;
                    self.find_gone(gone)?;
                } else {
                    let (entries, remembered) = (settled?, known.entries.filter(|_| self.programs.remembers_each()));
                    // All keys of the old map are in the snapshot by now: how many more it has are gone.
                    let since = self.counted(Count::Remembered)?;
                    let expected = remembered.and_then(|before| (before + since).checked_sub(entries));
                    let found = match (expected, recorded) {
                        (Some(0), _) => return self.settled(),
                        (Some(expected), Some(recorded)) => recorded.find_gone(counts, expected)?,
                        _ => false,
                    };
                    if !found {
                        self.find_gone(gone)?;
                    }
                }
                // What old programs deleted makes room.
                self.delete_gone(gone)?;
                if is_full {
                    self.settle_entries(progs, recorded, options)?;
                }
            }
        }
        self.settled()
    }

    fn settled(&self) -> Result<Settled, TransferError> {
        self.check_failed()?;
        counts::settled(self.programs.maps().counts)
    }

    /// Returns how many entries the old map has.
    fn settle_entries(
        &self,
        progs: &Settling,
        recorded: Option<&Recorded>,
        options: &mut TransferOptions<'_>,
    ) -> Result<u64, TransferError> {
        let from = self.from();
        // An entry for which there is no room keeps no other from being settled.
        let mut insert = progs.insert.as_ref();
        for attempt in 1.. {
            let (before, missing) = (self.counted(Count::Again)?, self.counted(Count::Missing)?);
            let mut entries;
            if self.programs.maps().per_cpu {
                entries = self.on_each_cpu(&progs.settle, &progs.own)?;
                for prog in &progs.others {
                    entries = self.drive(prog, from, &mut |_, _| Ok(()))?;
                }
            } else {
                let mut done = 0;
                let settle = match recorded {
                    Some(recorded) => recorded.settle(self.programs.maps().counts)?,
                    None => &progs.settle,
                };
                entries = self.drive(settle, from, &mut |entries, total| {
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
                self.check_failed()?;
                return Ok(entries);
            }
            if attempt == ATTEMPTS {
                break;
            }
        }
        let error = io::Error::other("entries change faster than they can be settled");
        Err(TransferError::kernel(self.to(), "settling")(error))
    }

    /// Finds the keys that are gone from the old map; of a trie, [`Self::delete_gone`] does.
    fn find_gone(&self, progs: &Gone) -> Result<(), TransferError> {
        if self.gone.is_some() {
            self.drive(&progs.find, self.over(), &mut |_, _| Ok(()))?;
        }
        self.check_failed()
    }

    /// Deletes the keys that were found.
    fn delete_gone(&self, progs: &Gone) -> Result<(), TransferError> {
        let Some(gone) = &self.gone else { return self.delete_gone_keys(progs) };
        if gone.next_key(None).map_err(TransferError::kernel(self.over(), "reading keys"))?.is_some() {
            self.drive(&progs.delete, gone, &mut |_, _| self.check_failed())?;
            // Only now: to look for a first key takes long in a large map that has none.
            clear(gone).map_err(TransferError::kernel(self.over(), "forgetting keys"))?;
        }
        Ok(())
    }

    /// False if the new map may evict an entry for one that is inserted.
    fn has_room(&self, remembered: Option<u64>) -> bool {
        !evicts(self.to().info().map_type) || remembered.is_some_and(|entries| has_slack(self.to(), entries))
    }

    /// The same, in a trie.
    fn delete_gone_keys(&self, progs: &Gone) -> Result<(), TransferError> {
        let (over, array) = (self.over(), self.keys()?);
        let key_size = over.info().key_size as usize;
        let mut gone = Vec::new();
        run_over_keys(&progs.find, over, array, &mut |keys, marked| {
            let keys = keys.chunks_exact(key_size).zip(marked).filter(|(_, marked)| **marked);
            gone.extend(keys.flat_map(|(key, _)| key));
            Ok(())
        })?;
        run_for_keys(&progs.delete, over, array, &gone)
    }

    fn keys(&self) -> Result<&Map, TransferError> {
        let keys = self.keys.as_ref().ok_or_else(|| io::Error::other("only tries are settled by their keys"));
        keys.map_err(TransferError::kernel(self.from(), "mapping keys"))
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
                    // Fails only where `each` did, whose error is the one that is told.
                    let sent = sender.send((entries, total));
                    sent.map_err(|error| TransferError::kernel(over, "telling of entries")(io::Error::other(error)))
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
        let most = if is_spread(self.to()) { SPREAD } else { usize::MAX };
        match self.source(over, None) {
            Over::Iterator { .. } => iterate_by(prog, over, most, each),
            Over::Indexes => {
                let (to, all) = (self.to().info(), over.info().max_entries);
                // Indexes that only the larger of two arrays has hold nothing: that is checked.
                let both = if self.programs.keeps_indexes() { all.min(to.max_entries) } else { all };
                run_over_indexes(prog, over, (both, most), each)
            }
            Over::Keys(keys) => {
                let mut entries = 0;
                run_over_keys(prog, over, keys, &mut |_, marked| {
                    entries += marked.len() as u64;
                    each(marked.len() as u64, None)
                })?;
                Ok(entries)
            }
        }
    }

    /// Runs a program on each of the CPUs at once, over the values of that CPU.
    fn on_each_cpu(&self, prog: &Prog, cpus: &BTreeSet<u32>) -> Result<u64, TransferError> {
        let from = self.from();
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
            let mut entries = 0;
            for thread in running {
                entries = thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            }
            Ok(entries)
        })
    }

    fn counted(&self, count: Count) -> Result<u64, TransferError> {
        counts::get(self.programs.maps().counts, count)
    }

    fn check_failed(&self) -> Result<(), TransferError> {
        match counts::failed(self.programs.maps().counts)? {
            None => Ok(()),
            Some((entries, error)) => Err(self.programs.failed(entries, error)),
        }
    }
}

/// The snapshot; a copy alone may have none.
fn over<'p>(programs: &'p (dyn Programs + '_)) -> &'p Map {
    let maps = programs.maps();
    maps.base.unwrap_or(maps.to)
}
