//! Runs the programs that convert.

use std::collections::BTreeSet;
use std::io;
use std::panic::resume_unwind;

use maplock_layout::conversion::{Collide, Stage, Steps};
use maplock_layout::map::MapType;

use super::super::clear::clear;
use super::super::emit::writer::{COUNTS, Count, Cpus, Half, Maps, Source};
use super::super::error::TransferError;
use super::super::kernel::{
    ATTEMPTS, Each, LARGE, counted, iterate, iterator_btf_id, online_cpus, run_over_indexes, settled, usable_cpus,
};
use super::super::shape::Shape;
use super::super::types::{Copied, Method, Options, Settled, evicts, is_array, is_per_cpu};
use super::entries::first_unfit;
use super::programs::{self, Areas, Converting};
use super::types::{Convert, Side};
use super::{chain, emit};
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{self, Map, NewMap, Prog};

/// What the programs of one conversion need.
pub(in crate::transfer) struct Engine<'a> {
    convert: Convert<'a>,
    shape: Shape,
    keys: Vec<Steps>,
    fresh: Vec<Steps>,
    values: Vec<Steps>,
    back: Vec<Steps>,
    collide: Option<Collide>,
    counts: Map,
    zeros: Map,
    /// Work areas: for each of two programs that run at once, and for one that runs on all CPUs.
    work: [Map; 2],
    each_cpu: Option<Map>,
    areas: Areas,
    /// Keys that are to be deleted, found before any is.
    gone: Map,
    possible_cpus: u32,
    btf_id: u32,
}

/// The programs of a second pass, all loaded before the first is run.
pub(in crate::transfer) struct SettleProgs {
    gone: Option<[Prog; 2]>,
    insert: Option<Prog>,
    settle: Prog,
    /// Per-CPU maps: the CPUs on which `settle` runs.
    own: BTreeSet<u32>,
    /// Per-CPU maps: for the values of all others.
    others: Vec<Prog>,
    others_are_idle: bool,
}

impl<'a> Engine<'a> {
    /// # Errors
    /// Where no program can convert these entries, and the kernel's.
    pub(super) fn new(convert: Convert<'a>) -> io::Result<Self> {
        let stages = convert.there.stages().ok_or_else(|| io::Error::other("the conversion is written by hand"))?;
        let chain_of = |stages: &[&Stage]| -> (Vec<Steps>, Vec<Steps>) {
            stages.iter().map(|stage| (stage.key.clone(), stage.value.clone())).unzip()
        };
        let (keys, fresh) = chain_of(&stages);
        let back = match convert.back {
            Some(back) => chain_of(&back.stages().unwrap_or_default()).0,
            None => Vec::new(),
        };
        if convert.base_of == Side::To && back.is_empty() {
            return Err(io::Error::other("no way leads back to the old keys"));
        }
        let values = chain::over(&fresh);
        let all = || keys.iter().chain(&fresh).chain(&values).chain(&back);
        if !all().all(emit::can_emit) {
            return Err(io::Error::other("the entries are too large for a program, or its arrays nest too deep"));
        }
        let largest = |steps: &[Steps]| steps.iter().map(|steps| steps.from_size.max(steps.to_size)).max().unwrap_or(0);
        let areas = Areas {
            key: largest(&keys).max(largest(&back)).next_multiple_of(8),
            value: largest(&fresh).next_multiple_of(8),
        };
        let array = |size, entries| {
            let mut new = NewMap::new(MapType::ARRAY, 4, size, entries);
            new.name = "maplock_work";
            Map::create(&new)
        };
        let base = convert.base.ok_or_else(|| io::Error::other("entries are converted only with a snapshot"))?;
        let mut gone = NewMap::new(MapType::HASH, base.info().key_size, 1, base.info().max_entries);
        gone.flags = BPF_F_NO_PREALLOC;
        gone.name = "maplock_gone";
        let possible_cpus = sys::possible_cpus()?;
        let per_cpu = is_per_cpu(convert.from.info().map_type);
        Ok(Self {
            shape: Shape::new(convert.to, convert.sums),
            collide: convert.there.collide(),
            counts: array(COUNTS * 8, 1)?,
            zeros: array(areas.value.max(areas.key), 1)?,
            work: [array(areas.size(), 1)?, array(areas.size(), 1)?],
            each_cpu: per_cpu.then(|| array(areas.size(), possible_cpus.max(2))).transpose()?,
            gone: Map::create(&gone)?,
            btf_id: iterator_btf_id()?,
            convert,
            keys,
            fresh,
            values,
            back,
            areas,
            possible_cpus,
        })
    }

    fn converting<'s>(&'s self, work: &'s Map) -> Converting<'s> {
        let Convert { from, to, base, base_of, .. } = self.convert;
        Converting {
            maps: Maps {
                from,
                to,
                base,
                shape: &self.shape,
                counts: &self.counts,
                scratch: &self.zeros,
                zeros: &self.zeros,
                per_cpu: is_per_cpu(from.info().map_type),
                possible_cpus: self.possible_cpus,
            },
            work,
            areas: self.areas,
            base_of,
            keys: &self.keys,
            values: &self.values,
            fresh: &self.fresh,
            back: &self.back,
        }
    }

    fn over<'s>(&self, map: &Map, half: Option<Half>) -> Source<'s> {
        match is_array(map.info().map_type) {
            true => Source::Indexes,
            false => Source::Iterator { btf_id: self.btf_id, key_size: map.info().key_size, half },
        }
    }

    /// The programs that copy: two for large hashes, with half of the keys each.
    pub(super) fn copy_progs(&self) -> io::Result<Vec<Prog>> {
        let from = self.convert.from;
        let one = self.converting(&self.work[0]);
        if let Some(collide) = self.collide {
            let source = self.over(from, None);
            return match is_per_cpu(from.info().map_type) {
                true => {
                    Err(io::Error::other("per-CPU values of keys that become one are not put together by a program"))
                }
                false => Ok(vec![programs::settle(one, source, Some(collide))?.load()?]),
            };
        }
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if is_array(from.info().map_type) || cpus < 2 || from.info().max_entries < LARGE {
            return Ok(vec![programs::copy(one, self.over(from, None))?.load()?]);
        }
        let halves = [Half::One, Half::Other].into_iter().zip(&self.work);
        halves.map(|(half, work)| programs::copy(self.converting(work), self.over(from, Some(half)))?.load()).collect()
    }

    pub(super) fn copy(&self, progs: &[Prog], options: &mut Options<'_>) -> Result<Copied, TransferError> {
        let mut done = 0;
        let entries = self.drive_all(progs, self.convert.from, &mut |entries, total| {
            done += entries;
            options.tell(done, total);
            self.check_failed()
        })?;
        Ok(Copied { entries, method: Some(Method::Kernel), ..Copied::default() })
    }

    pub(super) fn settle_progs(&self) -> io::Result<SettleProgs> {
        let Convert { from, base, .. } = self.convert;
        let of = self.converting(&self.work[0]);
        let source = self.over(from, None);
        let over_base = base.map_or(source, |base| self.over(base, None));
        // Of several keys that became one, none says when all are gone.
        let gone = match (over_base, self.collide) {
            (Source::Iterator { .. }, None) => {
                let other = self.converting(&self.work[1]);
                let over_gone = self.over(&self.gone, None);
                Some([
                    programs::find_gone(other, over_base, &self.gone)?.load()?,
                    programs::delete_gone(other, over_gone)?.load()?,
                ])
            }
            _ => None,
        };
        let Some(each_cpu) = &self.each_cpu else {
            let settle = programs::settle(of, source, None)?.load()?;
            let own = BTreeSet::new();
            return Ok(SettleProgs { gone, insert: None, settle, own, others: Vec::new(), others_are_idle: true });
        };
        let of = self.converting(each_cpu);
        let keyed = matches!(over_base, Source::Iterator { .. });
        let insert = keyed.then(|| programs::insert(of, source, None)?.load()).transpose()?;
        let settle = programs::settle_cpu(of, source, &Cpus::Own)?.load()?;
        let online = online_cpus();
        let own = usable_cpus(&online);
        let others: Vec<u32> = (0..self.possible_cpus).filter(|cpu| !own.contains(cpu)).collect();
        let others_are_idle = others.iter().all(|cpu| !online.contains(cpu));
        let others: io::Result<Vec<Prog>> = others
            .chunk_by(|one, next| one + 1 == *next)
            .map(|cpus| programs::settle_cpu(of, source, &Cpus::Range(cpus[0]..cpus[cpus.len() - 1] + 1))?.load())
            .collect();
        Ok(SettleProgs { gone, insert, settle, own, others: others?, others_are_idle })
    }

    pub(super) fn settle(&self, progs: &SettleProgs, options: &mut Options<'_>) -> Result<Settled, TransferError> {
        let Convert { to, base, .. } = self.convert;
        if let (Some([find, delete]), Some(base)) = (progs.gone.as_ref().filter(|_| !options.keep_gone), base) {
            // First: what old programs deleted makes room.
            self.drive(find, base, &mut |_, _| self.check_failed())?;
            if self.gone.next_key(None).map_err(TransferError::kernel(to, "reading keys"))?.is_some() {
                self.drive(delete, &self.gone, &mut |_, _| self.check_failed())?;
                clear(&self.gone).map_err(TransferError::kernel(to, "forgetting keys"))?;
            }
        }
        self.settle_entries(progs, options)?;
        let settled = settled(&self.counts)?;
        let exact = self.shape.is_atomic() && progs.others_are_idle && settled.not_carried == 0;
        Ok(Settled { exact, ..settled })
    }

    fn settle_entries(&self, progs: &SettleProgs, options: &mut Options<'_>) -> Result<(), TransferError> {
        let Convert { from, to, .. } = self.convert;
        let mut insert = progs.insert.as_ref();
        for attempt in 1.. {
            let (before, missing) = (self.counted(Count::Again)?, self.counted(Count::Missing)?);
            if self.each_cpu.is_some() {
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

    fn drive(&self, prog: &Prog, over: &Map, each: Each<'_>) -> Result<u64, TransferError> {
        match self.over(over, None) {
            Source::Iterator { .. } => iterate(prog, over, each),
            _ => run_over_indexes(prog, over, over.info().max_entries, each),
        }
    }

    fn drive_all(&self, progs: &[Prog], over: &Map, each: Each<'_>) -> Result<u64, TransferError> {
        if let [prog] = progs {
            return self.drive(prog, over, each);
        }
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let running: Vec<_> = progs
                .iter()
                .map(|prog| {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        self.drive(prog, over, &mut |entries, total| {
                            _ = sender.send((entries, total));
                            self.check_failed()
                        })
                    })
                })
                .collect();
            drop(sender);
            receiver.into_iter().try_for_each(|(entries, total)| each(entries, total))?;
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).sum()
        })
    }

    fn on_each_cpu(&self, prog: &Prog, cpus: &BTreeSet<u32>) -> Result<(), TransferError> {
        let from = self.convert.from;
        std::thread::scope(|scope| {
            let run = |cpu: u32| {
                sys::run_on_cpu(cpu).map_err(TransferError::kernel(from, "running on another CPU"))?;
                self.drive(prog, from, &mut |_, _| Ok(()))
            };
            let running: Vec<_> = cpus.iter().map(|cpu| scope.spawn(move || run(*cpu))).collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)).map(drop))
        })
    }

    fn counted(&self, count: Count) -> Result<u64, TransferError> {
        counted(&self.counts, count)
    }

    fn check_failed(&self) -> Result<(), TransferError> {
        let failed = self.counted(Count::Failed)?;
        if failed == 0 {
            return Ok(());
        }
        let Convert { from, to, .. } = self.convert;
        let error = i32::try_from(self.counted(Count::Error)?.cast_signed()).unwrap_or(-libc::EIO);
        let map = to.info().name.clone();
        Err(match -error {
            libc::ERANGE => {
                TransferError::Unfit { map, problem: first_unfit(from, self.convert.there).unwrap_or_default() }
            }
            libc::EEXIST if self.collide == Some(Collide::Refuse) => TransferError::Collision { map, failed },
            error => TransferError::write(to, failed, io::Error::from_raw_os_error(error)),
        })
    }

    /// True where an LRU map may have evicted what was copied into it.
    pub(super) fn may_have_evicted(&self) -> bool {
        evicts(self.convert.to.info().map_type)
    }
}
