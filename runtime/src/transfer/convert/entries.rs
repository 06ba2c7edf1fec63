//! Conversion in user space: by code that somebody wrote, and for maps whose entries no program converts.
//!
//! What the old entries become is told here; it is brought into the new map by a program (`apply.rs`), or by system calls.

use std::collections::{BTreeMap, HashSet};
use std::io;

use maplock_layout::conversion::{Collide, Steps};
use maplock_layout::map::MapType;

use super::super::calls::merge::Merging;
use super::super::calls::plain::{self, Exact, Put};
use super::super::clear::clear;
use super::super::drive::programs::work;
use super::super::drive::run::{iterate, iterator_btf_id};
use super::super::emit::inputs::{COUNTS, Maps, Over};
use super::super::emit::programs;
use super::super::error::{TransferError, falls_back};
use super::super::inexact::Inexact;
use super::super::pieces::Pieces;
use super::super::types::{Copied, Method, SPREAD, Settled, TransferOptions, is_array, is_per_cpu};
use super::apply::{Applier, Change, Changes};
use super::chain;
use super::types::{Convert, Side};
use super::way::Way;
use super::which::hex;
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{Map, NewMap};

/// A key and a value.
type Entry = (Vec<u8>, Vec<u8>);

/// Entries whose changes are put together before they are applied.
const CHUNK: usize = 1024;

/// Converts entries in user space.
pub(in crate::transfer) struct Converter<'a> {
    convert: Convert<'a>,
    base: &'a Map,
    pieces: Pieces,
    /// If the snapshot is of the new map: what the old entry brings, over what is there.
    over: Vec<Steps>,
    /// What writes the new map; without a program, why there is none.
    applier: Result<Applier<'a>, Inexact>,
    /// If entries stay at their indexes: how many the new map has. Behind them, the old one holds nothing: that is checked.
    indexes: Option<u32>,
    finder: Option<Finder>,
    method: Method,
}

impl<'a> Converter<'a> {
    /// The method of the options is that of reading entries, and of writing them if no program does.
    pub(super) fn new(convert: Convert<'a>, options: &TransferOptions<'_>) -> Result<Self, TransferError> {
        let method = options.method;
        let Convert { from, to, base, base_of, there, .. } = convert;
        let base = base.ok_or_else(|| TransferError::NeedsBase { map: from.info().name.clone() })?;
        let pieces = Pieces::for_programs(to, convert.sums);
        let over = match (base_of, there.derived_legs()) {
            (Side::From, _) => Vec::new(),
            (Side::To, Some(legs)) => chain::over(legs.iter().map(|leg| &leg.value)),
            (Side::To, None) => return Err(TransferError::NoWayBack { map: from.info().name.clone() }),
        };
        let mut finder = None;
        let by_program = method.is_none_or(|method| method == Method::Kernel);
        let is_shared = |map: &Map| !is_per_cpu(map.info().map_type) && !map.info().map_type.is_trie();
        let applier = match (by_program, is_shared(from) && is_shared(to)) {
            (false, _) => Err(Inexact::Asked),
            (_, false) => Err(Inexact::NoProgram),
            _ => Applier::new(&convert, &pieces, there.collide()).map_err(|error| falls_back(from, &error, options)),
        };
        if applier.is_ok() && !is_array(from.info().map_type) && base_of == Side::From {
            finder = Finder::new(from, base, &pieces).map_err(|error| falls_back(from, &error, options)).ok();
        }
        let method = method.filter(|method| *method != Method::Kernel).unwrap_or(Method::Batch);
        let indexes = convert.keeps_indexes().then(|| to.info().max_entries);
        Ok(Self { convert, base, pieces, over, applier, indexes, finder, method })
    }

    /// False if the new map has no place for that index.
    fn has_place(&self, key: &[u8]) -> bool {
        let index = key.try_into().map_or(0, u32::from_ne_bytes);
        self.indexes.is_none_or(|indexes| index < indexes)
    }

    fn reported(&self) -> Method {
        if self.applier.is_ok() { Method::Kernel } else { self.method }
    }

    /// Why a write of a new program can be lost. What holds on every kernel comes first.
    pub(super) fn inexact(&self) -> Option<Inexact> {
        self.pieces.inexact().into_iter().chain(self.applier.as_ref().err().copied()).min()
    }

    /// The first pass.
    pub(super) fn copy(&mut self, options: &mut TransferOptions<'_>) -> Result<Copied, TransferError> {
        let from = self.convert.from;
        let (key_size, value_bytes) = (from.info().key_size as usize, from.value_bytes());
        let most = self.indexes.unwrap_or(u32::MAX).min(from.info().max_entries);
        let total = is_array(from.info().map_type).then(|| most.into());
        let mut entries = 0;
        let method = self.method;
        let mut tour = plain::tour(self.convert.to)?;
        let mut each = |keys: &[u8], values: &[u8]| {
            let mut all = Vec::new();
            for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_bytes)) {
                if !self.has_place(key) {
                    continue;
                }
                let targets = self.become_of(key, value)?;
                let change = |(key, target)| Change { key, expected: None, target: Some(target) };
                let changes = targets.into_iter().map(change).collect();
                all.push(Changes { changes, base: (key.to_vec(), Some(value.to_vec())), is_copy: true });
            }
            entries += all.len() as u64;
            match &mut tour {
                None => self.apply(&all)?,
                Some(tour) => all.chunks(SPREAD).try_for_each(|all| {
                    tour.go_on();
                    self.apply(all)
                })?,
            }
            options.tell(entries, total);
            Ok(())
        };
        if method == Method::OneByOne { plain::each_one(from, &mut each) } else { plain::each_batch(from, &mut each) }?;
        Ok(Copied { entries, method: Some(self.reported()), ..Copied::default() })
    }

    /// The second pass.
    pub(super) fn settle(&mut self, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        let mut settled = Settled { method: Some(self.reported()), ..Settled::default() };
        if let Ok(applier) = &self.applier {
            applier.begin()?;
        }
        if !options.keep_gone && !is_array(self.base.info().map_type) {
            let gone = self.gone()?;
            self.settle_all(&gone, true, &mut settled)?;
        }
        let changed = self.changed()?;
        options.tell(0, Some(changed.len() as u64));
        self.settle_all(&changed, false, &mut settled)?;
        options.tell(changed.len() as u64, Some(changed.len() as u64));
        if let Ok(applier) = &self.applier {
            settled = Settled { method: settled.method, ..applier.settled()? };
        }
        Ok(settled)
    }

    /// `keys` are the old map's; those of the snapshot if they are gone from the old map.
    fn settle_all(&mut self, keys: &[Vec<u8>], gone: bool, settled: &mut Settled) -> Result<(), TransferError> {
        let from = Exact::new(self.convert.from, self.method)?;
        let base = Exact::new(self.base, self.method)?;
        for keys in keys.chunks(CHUNK) {
            let mut all = Vec::new();
            for key in keys {
                let changes = if gone && self.convert.base_of == Side::To {
                    self.gone_from_new(key, &from, &base)?
                } else {
                    self.changes(key, &from, &base)?
                };
                all.extend(changes);
            }
            if self.applier.is_ok() {
                self.apply(&all)?;
            } else {
                self.apply_by_calls(&all, settled)?;
            }
        }
        Ok(())
    }

    /// What is to be done for a key of the old map, or for one that it had.
    fn changes(&self, key: &[u8], from: &Exact<'_>, base: &Exact<'_>) -> Result<Option<Changes>, TransferError> {
        let now = from.get(key)?;
        match self.convert.base_of {
            Side::From => {
                let before = base.get(key)?;
                let targets = now.as_ref().map(|now| self.become_of(key, now)).transpose()?.unwrap_or_default();
                let mut expected: BTreeMap<_, _> = before
                    .as_ref()
                    .map(|before| self.become_of(key, before))
                    .transpose()?
                    .unwrap_or_default()
                    .into_iter()
                    .collect();
                let mut changes: Vec<_> = targets
                    .into_iter()
                    .map(|(key, target)| Change { expected: expected.remove(&key), key, target: Some(target) })
                    .collect();
                let gone = expected.into_iter();
                changes.extend(gone.map(|(key, expected)| Change { key, expected: Some(expected), target: None }));
                Ok(Some(Changes { changes, base: (key.to_vec(), now), is_copy: false }))
            }
            Side::To => {
                let Some(now) = now else { return Ok(None) };
                let Some(new_key) = self.counterpart(key)? else { return Ok(None) };
                let before = base.get(&new_key)?;
                let target = match &before {
                    Some(before) => self.write_over(&now, before)?,
                    None => self.become_of(key, &now)?.into_iter().map(|(_, value)| value).next().unwrap_or_default(),
                };
                let change = Change { key: new_key.clone(), expected: before, target: Some(target.clone()) };
                Ok(Some(Changes { changes: vec![change], base: (new_key, Some(target)), is_copy: false }))
            }
        }
    }

    fn gone_from_new(&self, key: &[u8], from: &Exact<'_>, base: &Exact<'_>) -> Result<Option<Changes>, TransferError> {
        let old_key = self.back(key)?;
        if from.get(&old_key)?.is_some() {
            return Ok(None);
        }
        let change = Change { key: key.to_vec(), expected: base.get(key)?, target: None };
        Ok(Some(Changes { changes: vec![change], base: (key.to_vec(), None), is_copy: false }))
    }

    /// Keys of the old map whose entries are not as in the snapshot.
    fn changed(&self) -> Result<Vec<Vec<u8>>, TransferError> {
        let from = self.convert.from;
        if let Some(finder) = &self.finder {
            return finder.find(&finder.changed, from);
        }
        let base = Exact::new(self.base, self.method)?;
        let mut keys = Vec::new();
        plain::each_entry(from, self.method, &mut |key, value| {
            let is_same = match self.convert.base_of {
                Side::From => base.get(key)?.is_some_and(|base| base == value),
                Side::To => false,
            };
            if !is_same && self.has_place(key) {
                keys.push(key.to_vec());
            }
            Ok(())
        })?;
        Ok(keys)
    }

    /// Keys of the snapshot whose entries the old map has no more.
    fn gone(&self) -> Result<Vec<Vec<u8>>, TransferError> {
        if let Some(finder) = &self.finder {
            return finder.find(&finder.gone, self.base);
        }
        let from = Exact::new(self.convert.from, self.method)?;
        let mut keys = Vec::new();
        plain::each_entry(self.base, self.method, &mut |key, _| {
            let old_key = match self.convert.base_of {
                Side::From => key.to_vec(),
                Side::To => self.back(key)?,
            };
            if from.get(&old_key)?.is_none() {
                keys.push(key.to_vec());
            }
            Ok(())
        })?;
        Ok(keys)
    }

    /// What an entry becomes: in per-CPU maps, with the values of all CPUs.
    fn become_of(&self, key: &[u8], value: &[u8]) -> Result<Vec<Entry>, TransferError> {
        let Convert { from, to, there, .. } = self.convert;
        let failed = |source| TransferError::ByHand { map: from.info().name.clone(), key: hex(key), source };
        let (key_size, value_size) = (to.info().key_size as usize, to.info().value_size as usize);
        let (old_part, new_part) = (plain::parts(from), plain::parts(to));
        let old_size = from.info().value_size as usize;
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut wrong = None;
        for (cpu, part) in value.chunks_exact(old_part).enumerate() {
            there
                .convert(key, &part[..old_size], &mut |key, value| {
                    if (key.len(), value.len()) != (key_size, value_size) {
                        wrong = Some((key.len(), value.len()));
                        return;
                    }
                    let place = *places.entry(key.to_vec()).or_insert_with(|| {
                        entries.push((key.to_vec(), vec![0; to.value_bytes()]));
                        entries.len() - 1
                    });
                    entries[place].1[cpu * new_part..][..value_size].copy_from_slice(value);
                })
                .map_err(failed)?;
        }
        match wrong {
            None => Ok(entries),
            Some((key, value)) => Err(failed(
                format!("it became {key} -> {value} bytes, and the new map has {key_size} -> {value_size}").into(),
            )),
        }
    }

    /// The old value over what the new map has, part by part.
    fn write_over(&self, value: &[u8], there: &[u8]) -> Result<Vec<u8>, TransferError> {
        let Convert { from, to, .. } = self.convert;
        let (old_part, new_part) = (plain::parts(from), plain::parts(to));
        let (old_size, new_size) = (from.info().value_size as usize, to.info().value_size as usize);
        let mut target = there.to_vec();
        let failed = |error: maplock_layout::conversion::Unfit| TransferError::Unfit {
            map: from.info().name.clone(),
            problem: error.to_string(),
        };
        for (old, new) in value.chunks_exact(old_part).zip(target.chunks_exact_mut(new_part)) {
            let mut at = old[..old_size].to_vec();
            if let Some((last, before)) = self.over.split_last() {
                for steps in before {
                    at = steps.convert(&at).map_err(failed)?;
                }
                last.convert_over(&at, &mut new[..new_size]).map_err(failed)?;
            }
        }
        Ok(target)
    }

    /// The key of the new map, if it leads back to this one.
    fn counterpart(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TransferError> {
        let there = self.convert_key(key, true)?;
        Ok((self.back(&there)? == key).then_some(there))
    }

    fn back(&self, key: &[u8]) -> Result<Vec<u8>, TransferError> {
        self.convert_key(key, false)
    }

    fn convert_key(&self, key: &[u8], there: bool) -> Result<Vec<u8>, TransferError> {
        let way = if there { Some(self.convert.there) } else { self.convert.back };
        let map = || self.convert.from.info().name.clone();
        let legs = way.and_then(Way::derived_legs).ok_or_else(|| TransferError::NoWayBack { map: map() })?;
        let unfit =
            |error: maplock_layout::conversion::Unfit| TransferError::Unfit { map: map(), problem: error.to_string() };
        legs.iter().try_fold(key.to_vec(), |key, leg| leg.key.convert(&key).map_err(unfit))
    }

    fn apply(&mut self, all: &[Changes]) -> Result<(), TransferError> {
        match &mut self.applier {
            Ok(applier) => applier.apply(all),
            Err(_) => self.apply_by_calls(all, &mut Settled::default()),
        }
    }

    /// Not atomic: a write of a new program between a look and the update after it is lost. The snapshot is written last: of a process that is
    /// killed before that, the entry is settled again, and what is added up is added twice. Written first, all of it would be lost.
    fn apply_by_calls(&self, all: &[Changes], settled: &mut Settled) -> Result<(), TransferError> {
        let mut to = Exact::new(self.convert.to, self.method)?;
        let mut base = Exact::new(self.base, self.method)?;
        for changes in all {
            let (base_key, new_base) = &changes.base;
            if changes.is_copy && base.get(base_key)?.is_some() && !is_array(self.base.info().map_type) {
                continue;
            }
            for change in &changes.changes {
                self.apply_one(change, &mut to, changes.is_copy, settled)?;
            }
            match new_base {
                Some(value) => _ = base.put(base_key, value, Put::Any)?,
                None => _ = base.delete(base_key)?,
            }
        }
        Ok(())
    }

    fn apply_one(
        &self,
        change: &Change,
        to: &mut Exact<'_>,
        is_copy: bool,
        settled: &mut Settled,
    ) -> Result<(), TransferError> {
        // Until it was written, an index of an array holds nothing.
        let is_array = is_array(self.convert.to.info().map_type);
        if let Some(target) = change.target.as_ref().filter(|_| is_copy && !is_array && !self.convert.there.may_meet())
        {
            return match to.put(&change.key, target, Put::IfAbsent)? {
                true => Ok(()),
                false => Err(self.convert.collision(1)),
            };
        }
        let there = if is_copy && is_array { None } else { to.get(&change.key)? };
        let merging = Merging { pieces: &self.pieces, part: plain::parts(self.convert.to) };
        let keeps_one = self.convert.there.collide() == Some(Collide::KeepOne);
        match (there, &change.expected, &change.target) {
            (None, None, Some(target)) => {
                to.put(&change.key, target, Put::Any)?;
                settled.inserted += 1;
            }
            (None, Some(expected), Some(target)) => {
                settled.dropped += u64::from(!merging.same_sums(expected, target));
            }
            (None, _, None) | (Some(_), None, None) => {}
            (Some(new), Some(expected), None) if new == *expected => {
                settled.deleted += u64::from(to.delete(&change.key)?)
            }
            (Some(mut new), Some(expected), None) => {
                if !keeps_one && merging.take(&mut new, expected) {
                    to.put(&change.key, &new, Put::IfThere)?;
                }
                settled.kept_new += 1;
            }
            (Some(_), None, Some(_)) if is_copy && keeps_one => {}
            (Some(mut new), expected, Some(target)) => {
                if merging.merge(&mut new, target, expected.as_deref(), settled) {
                    to.put(&change.key, &new, Put::IfThere)?;
                }
            }
        }
        Ok(())
    }
}

/// Programs that find keys: far fewer than there are have to be looked at then.
struct Finder {
    changed: (crate::sys::Prog, Map),
    gone: (crate::sys::Prog, Map),
    _work: Map,
}

impl Finder {
    fn new(from: &Map, base: &Map, pieces: &Pieces) -> io::Result<Self> {
        let found = |max_entries| {
            let mut new = NewMap::new(MapType::HASH, from.info().key_size, 1, max_entries);
            (new.flags, new.name) = (BPF_F_NO_PREALLOC, "maplock_found");
            Map::create(&new)
        };
        let size = (COUNTS * 8).max(from.info().value_size);
        let scratch = work(from.info().value_size, 1)?;
        let work = work(size, 1)?;
        let maps = Maps { scratch: &scratch, ..Maps::shared((from, from), Some(base), pieces, &work) };
        let (btf_id, key_size) = (iterator_btf_id()?, from.info().key_size);
        let source = Over::Iterator { btf_id, key_size, half: None, records: None };
        let (changed, gone) = (found(from.info().max_entries)?, found(base.info().max_entries)?);
        Ok(Self {
            changed: (programs::find_changed(maps, source, base, &changed)?.load()?, changed),
            gone: (programs::find_gone(maps, source, Some(&gone))?.load()?, gone),
            _work: work,
        })
    }

    fn find(&self, (prog, found): &(crate::sys::Prog, Map), over: &Map) -> Result<Vec<Vec<u8>>, TransferError> {
        iterate(prog, over, &mut |_, _| Ok(()))?;
        let mut keys = HashSet::new();
        let key_size = found.info().key_size as usize;
        plain::each_batch(found, &mut |batch, _| {
            keys.extend(batch.chunks_exact(key_size).map(<[u8]>::to_vec));
            Ok(())
        })?;
        clear(found).map_err(TransferError::kernel(over, "forgetting keys"))?;
        Ok(keys.into_iter().collect())
    }
}
