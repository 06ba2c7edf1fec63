//! The second pass: made ready, and run.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use super::calls::queues::Moving;
use super::calls::{objects, plain, queues};
use super::carrier::Carrier;
use super::check::check_rest_is_zero;
use super::convert;
use super::convert::types::Convert;
use super::count::count;
use super::drive::driver::{Driver, Settling};
use super::drive::recorded::Known;
use super::drive::same::Same;
use super::error::{TransferError, falls_back};
use super::inexact::Inexact;
use super::pieces::Pieces;
use super::types::{Method, Settled, Transfer, TransferOptions, is_array};
use crate::sys::Map;

/// Rounds before the switch end when no more entries than that changed since the one before, if that is not half as many, and after
/// so many rounds.
const LITTLE: u64 = 1000;
const ROUNDS: u32 = 5;

/// A second pass with its programs loaded: what takes long and can be done before the links are switched.
pub struct Prepared<'a> {
    of: Of<'a>,
    /// What is known of the snapshot, until it is written again.
    known: Cell<Known>,
    /// What was overwritten before the switch.
    before: Settled,
}

enum Of<'a> {
    Same(Transfer<'a>, Box<Pass<'a>>),
    Converting(Convert<'a>, convert::ConvertPass<'a>),
}

enum Pass<'a> {
    Programs(Box<(Driver<'a>, Settling)>),
    Calls(Pieces, &'a Map, Inexact),
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
                let pieces = Pieces::for_programs(self.from, self.sums);
                let base = self.base.ok_or_else(|| TransferError::NeedsBase { map: info.name.clone() })?;
                let programs = self.by_programs(options, "loading the programs that settle", || {
                    let driver = Driver::new(Same::new(*self, &pieces)?)?;
                    let progs = driver.load_settling()?;
                    Ok(Box::new((driver, progs)))
                })?;
                match programs {
                    Ok(programs) => Pass::Programs(programs),
                    Err(why) => Pass::Calls(pieces, base, why),
                }
            }
            Carrier::Order => {
                let what = "loading the program that moves entries";
                Pass::Moving(self.by_programs(options, what, || Moving::new(self.from, self.to))?.ok())
            }
            Carrier::Nobody => Pass::Nothing,
            Carrier::Objects => Pass::Handles,
        };
        Ok(Prepared::new(Of::Same(*self, Box::new(pass))))
    }

    /// An error within if it is to go by system calls: why.
    fn by_programs<P>(
        &self,
        options: &TransferOptions<'_>,
        what: &'static str,
        load: impl FnOnce() -> std::io::Result<P>,
    ) -> Result<Result<P, Inexact>, TransferError> {
        if options.method.is_some_and(|method| method != Method::Kernel) {
            return Ok(Err(Inexact::Asked));
        }
        match load() {
            Ok(programs) => Ok(Ok(programs)),
            Err(error) if options.method.is_none() => Ok(Err(falls_back(self.from, &error, options))),
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
        Ok(Prepared::new(of))
    }
}

impl<'a> Prepared<'a> {
    fn new(of: Of<'a>) -> Self {
        Self { of, known: Cell::default(), before: Settled::default() }
    }

    /// The old map; and the snapshot, of entries that are carried over by their keys.
    fn maps(&self) -> (&'a Map, Option<&'a Map>) {
        match &self.of {
            Of::Same(transfer, pass) => {
                let by_key = matches!(**pass, Pass::Programs(_) | Pass::Calls(..));
                (transfer.from, transfer.base.filter(|_| by_key))
            }
            Of::Converting(convert, _) => (convert.from, convert.base),
        }
    }

    /// Why a write of a new program can be lost as it is settled so; `None` if none can.
    #[must_use]
    pub fn inexact(&self) -> Option<Inexact> {
        match &self.of {
            Of::Same(_, pass) => match &**pass {
                Pass::Programs(programs) => programs.1.inexact,
                // What holds on every kernel comes first.
                Pass::Calls(pieces, _, why) => pieces.inexact().into_iter().chain([*why]).min(),
                // Old programs have ended, and what new ones add is not touched.
                Pass::Moving(_) | Pass::Handles | Pass::Nothing => None,
            },
            Of::Converting(_, pass) => pass.inexact(),
        }
    }

    /// True of entries without keys that system calls move: see [`Settled::repeats`].
    #[must_use]
    pub fn repeats(&self) -> bool {
        match &self.of {
            Of::Same(_, pass) => matches!(**pass, Pass::Moving(None)),
            Of::Converting(_, pass) => matches!(pass, convert::ConvertPass::Queue),
        }
    }

    /// What runs its programs, if programs do it.
    fn driver(&self) -> Option<&Driver<'a>> {
        match &self.of {
            Of::Same(_, pass) => match &**pass {
                Pass::Programs(programs) => Some(&programs.0),
                _ => None,
            },
            Of::Converting(_, pass) => match pass {
                convert::ConvertPass::Programs(programs) => Some(&programs.0),
                _ => None,
            },
        }
    }

    /// Before the switch: brings the new map and the snapshot up to what old programs wrote since the copy, in rounds, each the second pass
    /// while they write. Little is left for the second pass itself then, and nearly all that they deleted, inserted and set is in the new map
    /// before a new program sees it. Of a large map, what the snapshot has then is recorded in the order in which the second pass comes to it.
    /// What fails here is told by the second pass, if it still fails there.
    pub fn catch_up(&mut self) {
        let (from, Some(base)) = self.maps() else { return };
        let by_programs = self.driver().is_some();
        let count = |known: &mut Known| {
            if known.entries.is_none() && by_programs {
                known.entries = count(base, Duration::MAX);
            }
        };
        let (mut known, mut last) = (Known::default(), u64::MAX);
        for round in 0..ROUNDS {
            count(&mut known);
            let settled = match self.pass(&mut known, &mut TransferOptions::default()) {
                Ok(settled) => settled,
                Err(error) => {
                    tracing::debug!(map = from.info().name, round, %error, "a round before the switch failed");
                    break;
                }
            };
            tracing::debug!(map = from.info().name, round, ?settled, "caught up");
            self.before.kept_new += settled.kept_new;
            self.before.not_carried += settled.not_carried;
            self.before.grown_before += settled.inserted.cast_signed() - settled.deleted.cast_signed();
            let Settled { added, changed, inserted, deleted, dropped, kept_new, .. } = settled;
            let all = added + changed + inserted + deleted + dropped + kept_new;
            if all <= LITTLE || all > last / 2 {
                break;
            }
            last = all;
        }
        count(&mut known);
        known.recorded = known.entries.zip(self.driver()).and_then(|(entries, driver)| driver.record(entries));
        self.known.set(known);
    }

    /// The second pass itself.
    ///
    /// # Errors
    /// As [`Transfer::settle`].
    pub fn settle(&self, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        let mut settled = self.pass(&mut self.known.take(), options)?;
        settled.kept_new += self.before.kept_new;
        settled.not_carried += self.before.not_carried;
        settled.grown_before = self.before.grown_before;
        tracing::debug!(map = self.maps().0.info().name, ?settled, "settled");
        Ok(settled)
    }

    fn pass(&self, known: &mut Known, options: &mut TransferOptions<'_>) -> Result<Settled, TransferError> {
        let settled = match &self.of {
            Of::Same(transfer, pass) => transfer.settle_by(pass, known, options),
            Of::Converting(convert, pass) => pass.settle(convert, known, options),
        }?;
        Ok(Settled { inexact: self.inexact(), repeats: self.repeats(), ..settled })
    }
}

impl Transfer<'_> {
    fn settle_by(
        &self,
        pass: &Pass<'_>,
        known: &mut Known,
        options: &mut TransferOptions<'_>,
    ) -> Result<Settled, TransferError> {
        let Transfer { from, to, .. } = *self;
        let is_array = is_array(from.info().map_type);
        if is_array && !options.what_fits {
            check_rest_is_zero(from, to)?;
        }
        let settled = match pass {
            Pass::Programs(programs) => programs.0.settle(&programs.1, known, options)?,
            Pass::Calls(pieces, base, _) => plain::settle(self, base, pieces, options)?,
            Pass::Moving(Some(moving)) => moving.settle(from, to, options)?,
            Pass::Moving(None) => queues::by_calls(from, to, options)?,
            Pass::Handles => {
                let copied = objects::copy(self, options, false)?;
                Settled { inserted: copied.entries, method: copied.method, ..Settled::default() }
            }
            Pass::Nothing => Settled::default(),
        };
        if is_array && options.what_fits {
            check_rest_is_zero(from, to)?;
        }
        Ok(settled)
    }
}
