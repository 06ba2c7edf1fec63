//! The second pass: made ready, and run.

use std::fmt;

use super::calls::queues::Moving;
use super::calls::{objects, plain, queues};
use super::carrier::Carrier;
use super::check::check_rest_is_zero;
use super::convert;
use super::convert::types::Convert;
use super::drive::driver::{Driver, Settling};
use super::drive::same::Same;
use super::error::{TransferError, falls_back};
use super::pieces::Pieces;
use super::types::{Method, Settled, Transfer, TransferOptions, is_array};

/// A second pass with its programs loaded: what takes long and can be done before the links are switched.
pub struct Prepared<'a> {
    of: Of<'a>,
}

enum Of<'a> {
    Same(Transfer<'a>, Box<Pass<'a>>),
    Converting(Convert<'a>, convert::ConvertPass<'a>),
}

enum Pass<'a> {
    Programs(Box<(Driver<'a>, Settling)>),
    Calls(Pieces),
    Moving(Option<Moving>),
    Handles,
    Nothing,
}

impl fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Of::Same(transfer, _) => f.debug_tuple("Prepared").field(transfer).finish(),
            Of::Converting(convert, _) => f.debug_tuple("Prepared").field(convert).finish(),
        }
    }
}

impl<'a> Transfer<'a> {
    /// The second pass: settles what the old programs wrote meanwhile, while new programs write the new map and nothing
    /// writes the old one. May be killed and run again; run once more, it changes nothing. With `from` and `to` exchanged, it
    /// settles what the new programs wrote.
    ///
    /// # Errors
    /// As [`Self::copy`]; [`TransferError::NeedsBase`].
    pub fn settle(&self, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        self.prepare(options)?.settle(options)
    }

    /// Readies the second pass. Of the options, the method counts, and whether it is about what fits.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn prepare(&self, options: &TransferOptions<'_>) -> Result<Prepared<'a>, TransferError> {
        let carrier = self.check(options)?;
        let info = self.from.info();
        let pass = match carrier {
            Carrier::Entries => {
                let pieces = Pieces::new(self.from, self.sums);
                if self.base.is_none() && !pieces.is_additive() {
                    return Err(TransferError::NeedsBase { map: info.name.clone() });
                }
                let programs = self.by_programs(options, "loading the programs that settle", || {
                    let driver = Driver::new(Same::new(*self, &pieces)?)?;
                    let progs = driver.load_settling()?;
                    Ok(Box::new((driver, progs)))
                })?;
                programs.map_or(Pass::Calls(pieces), Pass::Programs)
            }
            Carrier::Order => {
                let what = "loading the program that moves entries";
                Pass::Moving(self.by_programs(options, what, || Moving::new(self.from, self.to))?)
            }
            Carrier::Nobody => Pass::Nothing,
            Carrier::Objects => Pass::Handles,
        };
        Ok(Prepared { of: Of::Same(*self, Box::new(pass)) })
    }

    /// `None` where it is to go by system calls: they are asked for, or the kernel takes no such program.
    fn by_programs<P>(
        &self,
        options: &TransferOptions<'_>,
        what: &'static str,
        load: impl FnOnce() -> std::io::Result<P>,
    ) -> Result<Option<P>, TransferError> {
        if options.method.is_some_and(|method| method != Method::Kernel) {
            return Ok(None);
        }
        match load() {
            Ok(programs) => Ok(Some(programs)),
            Err(error) if options.method.is_none() => {
                falls_back(self.from, &error);
                Ok(None)
            }
            Err(error) => Err(TransferError::kernel(self.from, what)(error)),
        }
    }
}

impl<'a> Convert<'a> {
    /// The second pass, as [`Transfer::settle`](super::Transfer::settle).
    ///
    /// # Errors
    /// As there, and as [`Self::copy`].
    pub fn settle(&self, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        self.prepare(options)?.settle(options)
    }

    /// Readies the second pass. Of the options, the method counts, and whether it is about what fits.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn prepare(&self, options: &TransferOptions<'_>) -> Result<Prepared<'a>, TransferError> {
        let of = Of::Converting(*self, convert::ConvertPass::new(self, options)?);
        Ok(Prepared { of })
    }
}

impl Prepared<'_> {
    /// The second pass itself.
    ///
    /// # Errors
    /// As [`Transfer::settle`].
    pub fn settle(&self, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        let (from, settled) = match &self.of {
            Of::Same(transfer, pass) => (transfer.from, transfer.settle_by(pass, options)?),
            Of::Converting(convert, prepared) => (convert.from, prepared.settle(convert, options)?),
        };
        tracing::debug!(map = from.info().name, ?settled, "settled");
        Ok(settled)
    }
}

impl Transfer<'_> {
    fn settle_by(&self, pass: &Pass<'_>, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        let Transfer { from, to, .. } = *self;
        let is_array = is_array(from.info().map_type);
        if is_array && !options.what_fits {
            check_rest_is_zero(from, to)?;
        }
        let settled = match pass {
            Pass::Programs(programs) => programs.0.settle(&programs.1, options)?,
            Pass::Calls(pieces) => plain::settle(self, pieces, options)?,
            Pass::Moving(Some(moving)) => moving.settle(from, to, options)?,
            Pass::Moving(None) => queues::by_calls(from, to, options)?,
            Pass::Handles => {
                let copied = objects::copy(self, options, false)?;
                Settled { inserted: copied.entries, method: copied.method, exact: true, ..Settled::default() }
            }
            Pass::Nothing => Settled { exact: true, ..Settled::default() },
        };
        if is_array && options.what_fits {
            check_rest_is_zero(from, to)?;
        }
        Ok(settled)
    }
}
