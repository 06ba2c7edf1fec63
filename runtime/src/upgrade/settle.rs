//! A derived map and what it was derived from, opened again by its record: what was written since is brought over.

use std::io;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::derivation::{Converted, Derivation, Ways};
use crate::generation::directory::{is_there, pin_like};
use crate::generation::names::{self, Came};
use crate::sys::Map;
use crate::sys::bpffs::{self, Dir, Pin};
use crate::transfer::migrate::Migrations;
use crate::transfer::{self, Convert, NoSuchCode, Prepared, Settled, Side, Transfer, TransferError, Way};

impl Derivation {
    /// The two maps and the snapshot, by their ids if other maps are pinned there now. `None` if the old one is gone.
    pub(crate) fn open(
        &self,
        old: &Pin,
        staged: &Dir,
        name: &str,
        migrations: &Migrations,
    ) -> Result<Option<Open<'_>>, Error> {
        let open = |pin: &Pin| Map::open(pin).trying(|| format!("can't open map `{}`", pin.display()));
        let with_id = |path: &Pin, id: u32| {
            if is_there(path)? {
                let map = open(path)?;
                if map.info().id == id {
                    return Ok(Some(map));
                }
                tracing::warn!(pin = %path.display(), id, "another map is pinned there than was copied");
            }
            match Map::from_id(id) {
                Ok(map) => Ok(Some(map)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => {
                    Err(error).trying(|| format!("can't open map {id}, which was pinned as `{}`", path.display()))
                }
            }
        };
        let staged_pin = staged.join(name);
        let Some(from) = with_id(old, self.from)? else { return Ok(None) };
        let to = with_id(&staged_pin, self.to)?.ok_or_else(|| {
            Error::new(ErrorKind::Place, format!("the staged map of `{}` is gone; start again", staged_pin.display()))
        })?;
        let base = staged.join(names::base_of(name));
        let base = is_there(&base)?.then(|| open(&base)).transpose()?;
        let ways = match self.converted {
            Some(_) => Some(Ways::read(staged, name, self.came)?.open(&from, &to, migrations)),
            None => None,
        };
        Ok(Some(Open { from, to, base, record: self, ways }))
    }
}

impl Ways {
    fn open(&self, from: &Map, to: &Map, migrations: &Migrations) -> OpenWays {
        let way = |conversion, of: &Map| Way::new(conversion, migrations, of.info().key_size, of.info().value_size);
        // There is none through code, whoever has it.
        let back = self.back.as_ref().and_then(|back| way(back, to).ok());
        OpenWays { there: way(&self.there, from), back }
    }
}

struct OpenWays {
    there: Result<Way, NoSuchCode>,
    back: Option<Way>,
}

/// In which direction, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settling {
    /// To the old map, if the switch is undone.
    pub(crate) back: bool,
    /// By system calls, though there may be programs for it.
    pub(crate) by_calls: bool,
}

/// The maps of a derivation, open.
pub(crate) struct Open<'a> {
    from: Map,
    to: Map,
    base: Option<Map>,
    record: &'a Derivation,
    ways: Option<OpenWays>,
}

impl Open<'_> {
    /// Readies [`Self::settle`].
    pub(crate) fn prepare(&self, how: Settling) -> Result<Prepared<'_>, TransferError> {
        let back = how.back;
        let (from, to) = if back { (&self.to, &self.from) } else { (&self.from, &self.to) };
        let (options, base) = (self.options(how), self.base.as_ref());
        let (Some(ways), Some(converted)) = (&self.ways, &self.record.converted) else {
            return Transfer { from, to, base, sums: &self.record.sums }.prepare(&options);
        };
        let name = || self.to.info().name.clone();
        let there = ways.there.as_ref();
        let (there, back_way, base_of, sums) = if back {
            let way = ways.back.as_ref().ok_or_else(|| TransferError::NoWayBack { map: name() })?;
            (way, there.ok(), converted.base_of.other(), &converted.old_sums)
        } else {
            let way = there.map_err(|error| TransferError::NoSuchCode { map: name(), source: *error })?;
            (way, ways.back.as_ref(), converted.base_of, &self.record.sums)
        };
        Convert { from, to, base, base_of, there, back: back_way, sums }.prepare(&options)
    }

    /// Brings over what was written since the copy, as it was prepared.
    pub(crate) fn settle(&self, prepared: &Prepared<'_>, how: Settling) -> Result<Settled, TransferError> {
        prepared.settle(&mut self.options(how))
    }

    fn options(&self, Settling { back, by_calls }: Settling) -> transfer::TransferOptions<'static> {
        transfer::TransferOptions {
            method: by_calls.then_some(transfer::Method::Batch),
            // An LRU that lacks an entry may have evicted it as it was copied: that is no reason to delete it where it came from.
            keep_gone: back && transfer::evicts(self.to.info().map_type),
            // What the old map has room for comes back, whatever the new programs wrote besides.
            what_fits: back,
            ..transfer::TransferOptions::default()
        }
    }
}

/// A kept map of another layout, taken up again, as it is pinned: what was written to `live` since it was converted is converted back into it. This
/// settles what is there by now; the record that it leaves in `next` settles the rest after the switch, and tells how that came. `None` if no
/// way leads back.
pub(crate) fn return_converted(
    record: &Derivation,
    (live_pin, kept_pin): (&Pin, &Pin),
    (live, kept): (&Map, &Map),
    came: Came,
    migrations: &Migrations,
) -> Result<Option<Settled>, Error> {
    let Some(converted) = &record.converted else { return Ok(None) };
    let (was, name) = (live_pin.file_name(), kept_pin.file_name());
    let (name, live_dir, next) = (name.as_str(), live_pin.dir(), kept_pin.dir());
    let Some(ways) = Ways::read(live_dir, &was, record.came)?.reversed() else { return Ok(None) };
    let failed = |error: TransferError| {
        Error::because(ErrorKind::Kernel, format!("can't convert the entries of map `{name}` back"), error)
    };
    let is_keyless = live.info().map_type.is_keyless();
    if !is_keyless {
        let base = transfer::new_base(kept).trying(|| format!("can't make a snapshot of map `{name}`"))?;
        transfer::snapshot(kept, &base).map_err(failed)?;
        let pin = next.join(names::base_of(name));
        pin_like(&base, &pin, kept_pin).trying(|| format!("can't pin `{}`", pin.display()))?;
    }
    ways.write(next, name, came)?;
    let back = Derivation {
        from: live.info().id,
        to: kept.info().id,
        was: (was != name).then(|| was.clone()),
        sums: converted.old_sums.clone(),
        converted: Some(Converted { base_of: Side::To, old_sums: record.sums.clone() }),
        came,
    };
    let path = next.join(names::transfer_of(name, came));
    bpffs::write_record(&path, &back.to_text()).trying(|| format!("can't write `{}`", path.display()))?;
    let Some(open) = back.open(live_pin, next, name, migrations)? else { return Ok(None) };
    // Entries without keys are moved when nobody writes them any more.
    if is_keyless {
        return Ok(Some(Settled::default()));
    }
    let prepared = open.prepare(Settling::default()).map_err(failed)?;
    let settled = open.settle(&prepared, Settling::default()).map_err(failed)?;
    // Nobody writes the kept map as yet: whatever was done to an entry is right.
    let Settled { kept_new, not_carried, dropped, method, .. } = settled;
    Ok(Some(Settled { kept_new, not_carried, dropped, method, ..Settled::default() }))
}

/// What was tried if a map could not be settled.
pub(crate) fn unsettled(map: &str, error: TransferError) -> Error {
    let message = format!("can't bring over what was written to map `{map}` since it was copied");
    Error::because(ErrorKind::Kernel, message, error)
}
