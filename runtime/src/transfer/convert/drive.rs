//! What converts the entries of a map: programs, calls for each, or what moves entries without keys.

use super::super::calls::queues;
use super::super::carrier::Carrier;
use super::super::check::{check_rest_is_zero, check_sums};
use super::super::copy::evicted;
use super::super::drive::driver::{Driver, Settling};
use super::super::drive::recorded::Known;
use super::super::error::{TransferError, falls_back};
use super::super::inexact::Inexact;
use super::super::types::{Copied, Method, Settled, TransferOptions};
use super::entries::Converter;
use super::supply::Converted;
use super::types::{Convert, can_convert};

impl Convert<'_> {
    /// The first pass, as [`Transfer::copy`](crate::transfer::Transfer::copy).
    ///
    /// # Errors
    /// As there; [`TransferError::Unfit`] and [`TransferError::ByHand`] if an entry can't be converted,
    /// [`TransferError::Collision`] if two become one and that was not accepted.
    pub fn copy(&self, options: &mut TransferOptions<'_>) -> Result<Copied, TransferError> {
        self.check(options)?;
        let info = self.from.info();
        if Carrier::of(info.map_type) != Ok(Carrier::Entries) {
            return Ok(Copied::default());
        }
        let mut copied = None;
        if self.may_use_programs(options) {
            let driver = Converted::new(*self).and_then(Driver::new);
            match driver.and_then(|driver| driver.load_copying().map(|progs| (driver, progs))) {
                Ok((driver, progs)) => copied = Some(driver.copy(&progs, options)?),
                Err(error) if options.method.is_none() => _ = falls_back(self.from, &error, options),
                Err(error) => return Err(TransferError::kernel(self.from, "loading the program that converts")(error)),
            }
        }
        let mut copied = match copied {
            Some(copied) => copied,
            None => Converter::new(*self, options)?.copy(options)?,
        };
        // Where entries become one, or as many as code says, fewer need not be lost.
        if self.there.derived_legs().is_some() && !self.there.may_meet() {
            copied.lost = evicted(self.to, copied.entries);
        }
        copied.bytes = copied.entries * (u64::from(info.key_size) + self.from.value_bytes() as u64);
        tracing::debug!(map = info.name, ?copied, "converted");
        Ok(copied)
    }

    /// True if entries are converted by steps, in a map that programs can walk.
    fn may_use_programs(&self, options: &TransferOptions<'_>) -> bool {
        self.there.derived_legs().is_some()
            && options.method.is_none_or(|method| method == Method::Kernel)
            && !self.from.info().map_type.is_trie()
            && !self.to.info().map_type.is_trie()
    }

    fn check(&self, options: &TransferOptions<'_>) -> Result<(), TransferError> {
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
            let Some(last) = way.derived_legs().and_then(|legs| legs.last().copied().cloned()) else { continue };
            for (what, old, new) in
                [("key_size", last.key.to_size, key_size), ("value_size", last.value.to_size, value_size)]
            {
                if old != new {
                    return Err(TransferError::Unlike { map: to.name.clone(), what, old, new });
                }
            }
        }
        let first =
            self.there.derived_legs().and_then(|legs| legs.first().map(|leg| (leg.key.from_size, leg.value.from_size)));
        if let Some((key_size, value_size)) = first
            && (key_size, value_size) != (from.key_size, from.value_size)
        {
            let (what, old, new) = match key_size == from.key_size {
                true => ("value_size", from.value_size, value_size),
                false => ("key_size", from.key_size, key_size),
            };
            return Err(TransferError::Unlike { map: map(), what, old, new });
        }
        if self.keeps_indexes() && !options.what_fits {
            check_rest_is_zero(self.from, self.to)?;
        }
        check_sums(self.to, self.sums)
    }
}

/// A second pass with its programs loaded.
pub(in crate::transfer) enum ConvertPass<'a> {
    Programs(Box<(Driver<'a>, Settling)>),
    Entries(Box<std::sync::Mutex<Converter<'a>>>),
    Queue,
}

impl<'a> ConvertPass<'a> {
    /// Readies the second pass. Of the options, the method counts, and whether it is about what fits.
    pub(in crate::transfer) fn new(
        convert: &Convert<'a>,
        options: &TransferOptions<'_>,
    ) -> Result<Self, TransferError> {
        convert.check(options)?;
        let mut prepared = match Carrier::of(convert.from.info().map_type) {
            Ok(Carrier::Order) => Some(Self::Queue),
            _ => None,
        };
        if prepared.is_none() && convert.may_use_programs(options) {
            let driver = Converted::new(*convert).and_then(Driver::new);
            match driver.and_then(|driver| driver.load_settling().map(|progs| (driver, progs))) {
                Ok(programs) => prepared = Some(Self::Programs(Box::new(programs))),
                Err(error) if options.method.is_none() => _ = falls_back(convert.from, &error, options),
                Err(error) => {
                    return Err(TransferError::kernel(convert.from, "loading the programs that convert")(error));
                }
            }
        }
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => Self::Entries(Box::new(Converter::new(*convert, options)?.into())),
        };
        Ok(prepared)
    }

    /// Why a write of a new program can be lost.
    pub(in crate::transfer) fn inexact(&self) -> Option<Inexact> {
        match self {
            Self::Programs(programs) => programs.1.inexact,
            Self::Entries(converter) => converter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).inexact(),
            // Old programs have ended, and what new ones add is not touched.
            Self::Queue => None,
        }
    }

    pub(in crate::transfer) fn settle(
        &self,
        convert: &Convert<'_>,
        known: &mut Known,
        options: &mut TransferOptions<'_>,
    ) -> Result<Settled, TransferError> {
        if convert.keeps_indexes() && !options.what_fits {
            check_rest_is_zero(convert.from, convert.to)?;
        }
        let settled = match self {
            Self::Programs(programs) => programs.0.settle(&programs.1, known, options),
            Self::Entries(converter) => {
                converter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).settle(options)
            }
            Self::Queue => queues::converted(convert.from, convert.to, convert.there, options),
        }?;
        if convert.keeps_indexes() && options.what_fits {
            check_rest_is_zero(convert.from, convert.to)?;
        }
        Ok(settled)
    }
}
