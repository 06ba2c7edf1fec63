//! The programs that convert, as they are supplied to the driver.

use std::io;

use maplock_layout::conversion::{DerivedLeg, Steps};

use super::super::drive::counts;
use super::super::drive::programs::{Programs, work};
use super::super::emit::asm::Code;
use super::super::emit::inputs::{Cpus, Half, Maps, Over};
use super::super::error::TransferError;
use super::super::pieces::Pieces;
use super::super::types::is_per_cpu;
use super::parts::{Areas, Converting};
use super::programs as emit;
use super::types::{Convert, Side};
use super::which::first_unfit;
use super::{chain, steps};
use crate::sys::{self, Map};

/// What they need.
pub(super) struct Converted<'a> {
    convert: Convert<'a>,
    pieces: Pieces,
    keys: Vec<Steps>,
    fresh: Vec<Steps>,
    values: Vec<Steps>,
    back: Vec<Steps>,
    counts: Map,
    zeros: Map,
    /// Work areas: for each of two programs that run at once, and for one that runs on all CPUs.
    work: [Map; 2],
    each_cpu: Option<Map>,
    areas: Areas,
    possible_cpus: u32,
}

impl<'a> Converted<'a> {
    /// # Errors
    /// If no program can convert these entries, and the kernel's.
    pub(super) fn new(convert: Convert<'a>) -> io::Result<Self> {
        let legs = convert.there.derived_legs().ok_or_else(|| io::Error::other("the conversion is written by hand"))?;
        let chain_of = |legs: &[&DerivedLeg]| -> (Vec<Steps>, Vec<Steps>) {
            legs.iter().map(|leg| (leg.key.clone(), leg.value.clone())).unzip()
        };
        let (keys, fresh) = chain_of(&legs);
        let back = match convert.back {
            Some(back) => chain_of(&back.derived_legs().unwrap_or_default()).0,
            None => Vec::new(),
        };
        if convert.base_of == Side::To && back.is_empty() {
            return Err(io::Error::other("no way leads back to the old keys"));
        }
        if convert.base.is_none() {
            return Err(io::Error::other("entries are converted only with a snapshot"));
        }
        let values = chain::over(&fresh);
        let all = || keys.iter().chain(&fresh).chain(&values).chain(&back);
        if !all().all(steps::can_emit) {
            return Err(io::Error::other("the entries are too large for a program, or its arrays nest too deep"));
        }
        let largest = |steps: &[Steps]| steps.iter().map(|steps| steps.from_size.max(steps.to_size)).max().unwrap_or(0);
        let areas = Areas {
            key: largest(&keys).max(largest(&back)).next_multiple_of(8),
            value: largest(&fresh).next_multiple_of(8),
        };
        let possible_cpus = sys::possible_cpus()?;
        let per_cpu = is_per_cpu(convert.from.info().map_type);
        Ok(Self {
            pieces: Pieces::for_programs(convert.to, convert.sums),
            counts: counts::new()?,
            zeros: work(areas.value.max(areas.key), 1)?,
            work: [work(areas.size(), 1)?, work(areas.size(), 1)?],
            each_cpu: per_cpu.then(|| work(areas.size(), possible_cpus.max(2))).transpose()?,
            convert,
            keys,
            fresh,
            values,
            back,
            areas,
            possible_cpus,
        })
    }

    /// For programs that work in that area.
    fn in_area<'s>(&'s self, work: &'s Map) -> Converting<'s> {
        Converting {
            maps: self.maps(),
            work,
            areas: self.areas,
            base_of: self.convert.base_of,
            keys: &self.keys,
            values: &self.values,
            fresh: &self.fresh,
            back: &self.back,
        }
    }

    /// That of the half which a program has.
    fn work_of(&self, over: Over<'_>) -> &Map {
        match over {
            Over::Iterator { half: Some(Half::Other), .. } => &self.work[1],
            _ => &self.work[0],
        }
    }

    fn on_each_cpu(&self) -> Converting<'_> {
        self.in_area(self.each_cpu.as_ref().unwrap_or(&self.work[0]))
    }
}

impl Programs for Converted<'_> {
    fn maps(&self) -> Maps<'_> {
        let Convert { from, to, base, .. } = self.convert;
        Maps {
            from,
            to,
            base,
            pieces: &self.pieces,
            counts: &self.counts,
            scratch: &self.zeros,
            zeros: &self.zeros,
            per_cpu: is_per_cpu(from.info().map_type),
            possible_cpus: self.possible_cpus,
        }
    }

    fn copy(&self, over: Over<'_>) -> io::Result<Code> {
        let work = self.work_of(over);
        if !self.convert.there.may_meet() {
            return emit::copy(self.in_area(work), over);
        }
        if self.each_cpu.is_some() {
            return Err(io::Error::other("per-CPU values of keys that become one are not put together by a program"));
        }
        emit::settle(self.in_area(work), over, self.convert.there.collide())
    }

    /// Of two entries that become one, the second has to see the first.
    fn can_be_halved(&self) -> bool {
        !self.convert.there.may_meet()
    }

    fn settle(&self, over: Over<'_>) -> io::Result<Code> {
        emit::settle(self.in_area(self.work_of(over)), over, None)
    }

    fn settle_cpus(&self, over: Over<'_>, cpus: &Cpus) -> io::Result<Code> {
        emit::settle_cpu(self.on_each_cpu(), over, cpus)
    }

    fn insert(&self, over: Over<'_>) -> io::Result<Code> {
        emit::insert(self.on_each_cpu(), over)
    }

    /// Of several keys that became one, none says when all are gone.
    fn follows_deletions(&self) -> bool {
        !self.convert.there.may_meet()
    }

    /// Seen from the other side, some entries of the old map have no counterpart.
    fn remembers_each(&self) -> bool {
        self.convert.base_of == Side::From
    }

    /// A lock would be one of the new map's values.
    fn can_be_recorded(&self) -> bool {
        self.convert.base_of == Side::From && self.pieces.lock.is_none()
    }

    fn find_gone(&self, over: Over<'_>, gone: Option<&Map>) -> io::Result<Code> {
        let gone = gone.ok_or_else(|| io::Error::other("no program converts the entries of a trie"))?;
        emit::find_gone(self.in_area(self.work_of(over)), over, gone)
    }

    fn delete_gone(&self, over: Over<'_>) -> io::Result<Code> {
        emit::delete_gone(self.in_area(self.work_of(over)), over)
    }

    fn keeps_indexes(&self) -> bool {
        self.convert.keeps_indexes()
    }

    fn failed(&self, entries: u64, error: io::Error) -> TransferError {
        let Convert { from, to, there, .. } = self.convert;
        match error.raw_os_error() {
            Some(libc::ERANGE) => TransferError::Unfit {
                map: to.info().name.clone(),
                problem: first_unfit(from, there).unwrap_or_default(),
            },
            _ => self.convert.unwritten(entries, error),
        }
    }
}
