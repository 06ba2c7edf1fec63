//! Entries from one map to another in another layout, while programs write them.
//!
//! The two passes are those of [`super`]; what differs is that nothing is taken out of the old map. The snapshot keeps what an
//! entry was when it was last settled; what changed since is the difference of two entries, both converted:
//!
//! - counts are added as differences, with one atomic instruction each;
//! - other words follow by compare-and-exchange, where new programs left all of them as the snapshot, converted, says.
//!
//! So the old map always holds all that the old programs wrote, and is whole where no way leads back to it.
//!
//! The snapshot is of either side. In an upgrade it is of the *old* map: its entries as they were copied. Where a way leads back
//! ([`Convert::back`]), the same conversion turned round, with the same snapshot, which is then of the *new* map of that direction,
//! carries back what the new programs wrote: into the members that the way back tells, over what the snapshot has for the others.
//!
//! Entries are converted by programs whose instructions are emitted from the steps; where the conversion is code that somebody
//! wrote, in user space, and a program applies what it came to.

mod apply;
mod chain;
mod emit;
#[cfg(test)]
pub(super) mod emitted;
mod engine;
mod entries;
mod merge;
pub mod migrate;
mod programs;
mod way;

use maplock_layout::map::MapType;

pub use way::{NoSuchCode, Way};

use self::engine::{Engine, SettleProgs};
use self::entries::{Converter, first_unfit};
use super::{Behaviour, Copied, Method, Options, Settled, Sum, TransferError, behaviour, count, falls_back};
use crate::sys::Map;
use crate::transfer::calls::queues;

/// One of the two maps of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that entries come from.
    From,
    /// The one that they go to.
    To,
}

impl Side {
    /// The other one: that of a transfer turned round.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::From => Self::To,
            Self::To => Self::From,
        }
    }
}

/// Entries of one map that another map takes over in another layout.
#[derive(Debug, Clone, Copy)]
pub struct Convert<'a> {
    /// The old map.
    pub from: &'a Map,
    /// The new one.
    pub to: &'a Map,
    /// The snapshot, of [`new_base`](super::new_base); none for queues and stacks.
    pub base: Option<&'a Map>,
    /// Whose layout and keys the snapshot has.
    pub base_of: Side,
    /// How entries of the old map become those of the new.
    pub there: &'a Way,
    /// And those of the new map those of the old, where a way leads back.
    pub back: Option<&'a Way>,
    /// Members of the new map's value that are added up.
    pub sums: &'a [Sum],
}

/// A second pass with its programs loaded.
pub(super) enum Prepared<'a> {
    Programs(Box<(Engine<'a>, SettleProgs)>),
    Entries(Box<std::sync::Mutex<Converter<'a>>>),
    Queue,
}

impl<'a> Convert<'a> {
    /// The first pass, as [`Transfer::copy`](super::Transfer::copy).
    ///
    /// # Errors
    /// As there; [`TransferError::Unfit`] and [`TransferError::ByHand`] where an entry can't be converted,
    /// [`TransferError::Collision`] where two become one and that was not accepted.
    pub fn copy(&self, options: &mut Options<'_>) -> Result<Copied, TransferError> {
        self.check()?;
        let info = self.from.info();
        if behaviour(info.map_type) != Behaviour::Copied {
            return Ok(Copied::default());
        }
        let mut copied = None;
        if self.may_use_programs(options) {
            match Engine::new(*self).and_then(|engine| engine.copy_progs().map(|progs| (engine, progs))) {
                Ok((engine, progs)) => {
                    let mut by = engine.copy(&progs, options)?;
                    if engine.may_have_evicted() {
                        by.lost = self.lost(by.entries);
                    }
                    copied = Some(by);
                }
                Err(error) if options.method.is_none() => falls_back(self.from, &error),
                Err(error) => return Err(TransferError::kernel(self.from, "loading the program that converts")(error)),
            }
        }
        let mut copied = match copied {
            Some(copied) => copied,
            None => Converter::new(*self, options.method)?.copy(options)?,
        };
        copied.bytes = copied.entries * (u64::from(info.key_size) + self.from.value_bytes() as u64);
        tracing::debug!(map = info.name, ?copied, "converted");
        Ok(copied)
    }

    /// Entries that an LRU map evicted as they were copied.
    fn lost(&self, entries: u64) -> u64 {
        let there = count(self.to, std::time::Duration::MAX).unwrap_or(entries);
        entries.saturating_sub(there)
    }

    /// The second pass, as [`Transfer::settle`](super::Transfer::settle).
    ///
    /// # Errors
    /// As there, and as [`Self::copy`].
    pub fn settle(&self, options: &mut Options<'_>) -> Result<Settled, TransferError> {
        self.prepare(options)?.settle(options)
    }

    /// Readies the second pass. Of the options, the method counts.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn prepare(&self, options: &Options<'_>) -> Result<super::Prepared<'a>, TransferError> {
        self.check()?;
        let mut prepared = match behaviour(self.from.info().map_type) {
            Behaviour::MovedAtSettle => Some(Prepared::Queue),
            _ => None,
        };
        if prepared.is_none() && self.may_use_programs(options) {
            match Engine::new(*self).and_then(|engine| engine.settle_progs().map(|progs| (engine, progs))) {
                Ok(programs) => prepared = Some(Prepared::Programs(Box::new(programs))),
                Err(error) if options.method.is_none() => falls_back(self.from, &error),
                Err(error) => {
                    return Err(TransferError::kernel(self.from, "loading the programs that convert")(error));
                }
            }
        }
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => Prepared::Entries(Box::new(Converter::new(*self, options.method)?.into())),
        };
        Ok(super::Prepared::converting(*self, prepared))
    }

    /// True where entries are converted by steps, in a map that programs can walk.
    fn may_use_programs(&self, options: &Options<'_>) -> bool {
        self.there.stages().is_some()
            && options.method.is_none_or(|method| method == Method::Kernel)
            && self.from.info().map_type != MapType::LPM_TRIE
            && self.to.info().map_type != MapType::LPM_TRIE
    }

    fn check(&self) -> Result<(), TransferError> {
        let (from, to) = (self.from.info(), self.to.info());
        let map = || from.name.clone();
        if !can_convert(from.map_type, to.map_type) {
            return Err(TransferError::Unlike {
                map: to.name.clone(),
                what: "type",
                old: from.map_type.0,
                new: to.map_type.0,
            });
        }
        let sides = [(self.there, to.key_size, to.value_size)];
        for (way, key_size, value_size) in sides {
            let Some(last) = way.stages().and_then(|stages| stages.last().copied().cloned()) else { continue };
            for (what, old, new) in
                [("key_size", last.key.to_size, key_size), ("value_size", last.value.to_size, value_size)]
            {
                if old != new {
                    return Err(TransferError::Unlike { map: to.name.clone(), what, old, new });
                }
            }
        }
        let first = self
            .there
            .stages()
            .and_then(|stages| stages.first().map(|stage| (stage.key.from_size, stage.value.from_size)));
        if let Some((key_size, value_size)) = first
            && (key_size, value_size) != (from.key_size, from.value_size)
        {
            let (what, old, new) = match key_size == from.key_size {
                true => ("value_size", from.value_size, value_size),
                false => ("key_size", from.key_size, key_size),
            };
            return Err(TransferError::Unlike { map: map(), what, old, new });
        }
        super::check_sums(self.to, self.sums)
    }
}

/// True where entries of a map of one type can become those of another.
#[must_use]
pub fn can_convert(from: MapType, to: MapType) -> bool {
    use MapType as T;
    match from {
        _ if from == to => matches!(behaviour(from), Behaviour::Copied | Behaviour::MovedAtSettle),
        T::HASH | T::LRU_HASH | T::ARRAY => matches!(to, T::HASH | T::LRU_HASH | T::ARRAY),
        T::PERCPU_HASH | T::LRU_PERCPU_HASH | T::PERCPU_ARRAY => {
            matches!(to, T::PERCPU_HASH | T::LRU_PERCPU_HASH | T::PERCPU_ARRAY)
        }
        _ => false,
    }
}

impl Prepared<'_> {
    pub(super) fn settle(&self, convert: &Convert<'_>, options: &mut Options<'_>) -> Result<Settled, TransferError> {
        match self {
            Self::Programs(programs) => programs.0.settle(&programs.1, options),
            Self::Entries(converter) => {
                converter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).settle(options)
            }
            Self::Queue => queues::converted(convert.from, convert.to, convert.there, options),
        }
    }
}
