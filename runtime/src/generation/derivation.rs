//! Which map was copied or converted from which, written down beside the pins, so that what was written since can be settled by
//! whoever finds it.

use std::io;
use std::path::Path;

use maplock_layout::conversion::Conversion;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::site;
use crate::generation::text::{self, NoText};
use crate::sys::{Map, bpffs};
use crate::transfer::migrate::Migrations;
use crate::transfer::{self, Convert, NoSuchCode, Prepared, Settled, Side, Sum, Transfer, TransferError, Way};
use crate::upgrade::changeover::{is_there, list};

/// How a staged map was derived from one of the generation before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derivation {
    /// Id of the map that it was copied from.
    pub(crate) from: u32,
    /// Id of the map itself.
    pub(crate) to: u32,
    /// Members that are added up, of the map itself.
    pub(crate) sums: Vec<Sum>,
    /// Where entries were converted: what else has to be known. The conversion itself is in a text of its own ([`Ways`]).
    pub(crate) converted: Option<Converted>,
}

/// What has to be known of entries that were converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Converted {
    /// Which of the two maps the snapshot is of.
    pub(crate) base_of: Side,
    /// Members that are added up, of the map that entries came from.
    pub(crate) old_sums: Vec<Sum>,
}

impl Derivation {
    /// `12 34 8:4,16:8`, and for converted entries ` from 0:4,4:4` behind it.
    pub(crate) fn to_text(&self) -> String {
        let text = |sums: &[Sum]| {
            let sums: Vec<_> = sums.iter().map(|sum| format!("{}:{}", sum.offset, sum.width)).collect();
            sums.join(",")
        };
        let more = self.converted.as_ref().map_or_else(String::new, |converted| {
            let side = if converted.base_of == Side::From { "from" } else { "to" };
            format!(" {side} {}", text(&converted.old_sums))
        });
        format!("{} {} {}{more}", self.from, self.to, text(&self.sums))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sums = |text: &str| {
            let sums = text.split(',').filter(|sum| !sum.is_empty()).map(|sum| {
                let (offset, width) = sum.split_once(':')?;
                Some(Sum { offset: offset.parse().ok()?, width: width.parse().ok()? })
            });
            sums.collect::<Option<Vec<_>>>()
        };
        let mut words = text.split(' ');
        let (from, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let of_new = sums(words.next()?)?;
        let converted = match words.next() {
            None => None,
            Some(side) => {
                let base_of = match side {
                    "from" => Side::From,
                    "to" => Side::To,
                    _ => return None,
                };
                Some(Converted { base_of, old_sums: sums(words.next()?)? })
            }
        };
        Some(Self { from, to, sums: of_new, converted })
    }

    /// The two maps and the snapshot, by their ids where other maps are pinned there now. `None` where the old one is gone.
    pub(crate) fn open(
        &self,
        old: &Path,
        staged: &Path,
        name: &str,
        migrations: &Migrations,
    ) -> Result<Option<Open<'_>>, Error> {
        let open = |path: &Path| Map::open(path).trying(|| format!("can't open map `{}`", path.display()));
        let with_id = |path: &Path, id: u32| {
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
        let base = staged.join(site::base_of(name));
        let base = is_there(&base)?.then(|| open(&base)).transpose()?;
        let ways = match self.converted {
            Some(_) => Some(Ways::read(staged, name)?.open(&from, &to, migrations)),
            None => None,
        };
        Ok(Some(Open { from, to, base, record: self, ways }))
    }
}

/// How entries were converted: the way there, and the way back where one leads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) there: Conversion,
    pub(crate) back: Option<Conversion>,
}

/// Between the two in their text.
const BACK: &str = "--- back ---\n";

impl Ways {
    /// Turned round. `None` where no way leads back.
    pub(crate) fn reversed(&self) -> Option<Self> {
        self.back.clone().map(|back| Self { there: back, back: Some(self.there.clone()) })
    }

    /// Pins the text of it beside the map `name` in a generation.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Result<(), Error> {
        let path = dir.join(site::conversion_of(name));
        let mut text = self.there.to_text();
        if let Some(back) = &self.back {
            text.push_str(BACK);
            text.push_str(&back.to_text());
        }
        text::write(&path, "maplock_ways", &text).trying(|| format!("can't write `{}`", path.display()))
    }

    /// Reads the text that is pinned beside the map `name` of a generation.
    pub(crate) fn read(dir: &Path, name: &str) -> Result<Self, Error> {
        let path = dir.join(site::conversion_of(name));
        let map = Map::open(&path).trying(|| format!("can't open `{}`", path.display()))?;
        let wrong = |problem: String| Error::new(ErrorKind::Place, format!("`{}`: {problem}", path.display()));
        let text = match text::read(&map) {
            Ok(text) => text,
            Err(NoText::Io(error)) => return Err(error).trying(|| format!("can't read `{}`", path.display())),
            Err(NoText::Shape(problem)) => return Err(wrong(problem)),
        };
        let parse = |text: &str| Conversion::parse(text).map_err(|error| wrong(error.to_string()));
        Ok(match text.split_once(BACK) {
            Some((there, back)) => Self { there: parse(there)?, back: Some(parse(back)?) },
            None => Self { there: parse(&text)?, back: None },
        })
    }

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

/// The maps of a derivation, open.
pub(crate) struct Open<'a> {
    from: Map,
    to: Map,
    base: Option<Map>,
    record: &'a Derivation,
    ways: Option<OpenWays>,
}

impl Open<'_> {
    /// Readies [`Self::settle`]; `back` to the old map, where the switch is undone.
    pub(crate) fn prepare(&self, back: bool) -> Result<Prepared<'_>, TransferError> {
        let (from, to) = if back { (&self.to, &self.from) } else { (&self.from, &self.to) };
        let (options, base) = (transfer::Options::default(), self.base.as_ref());
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
    pub(crate) fn settle(&self, prepared: &Prepared<'_>, back: bool) -> Result<Settled, TransferError> {
        let new = if back { &self.to } else { &self.from };
        // An LRU that lacks an entry may have evicted it as it was copied: that is no reason to delete it where it came from.
        let keep_gone = back && transfer::evicts(new.info().map_type);
        prepared.settle(&mut transfer::Options { keep_gone, ..transfer::Options::default() })
    }
}

/// A kept map of another layout, taken up again: what was written to `live` since it was converted is converted back into it. This
/// settles what is there by now; the record that it leaves in `next` settles the rest after the switch. `None` where no way leads back.
pub(crate) fn return_converted(
    record: &Derivation,
    (live_dir, next): (&Path, &Path),
    name: &str,
    (live, kept): (&Map, &Map),
    migrations: &Migrations,
) -> Result<Option<Settled>, Error> {
    let Some(converted) = &record.converted else { return Ok(None) };
    let Some(ways) = Ways::read(live_dir, name)?.reversed() else { return Ok(None) };
    let failed = |error: TransferError| {
        Error::new(ErrorKind::Kernel, format!("can't convert the entries of map `{name}` back: {error}"))
    };
    let is_keyless = live.info().map_type.is_keyless();
    if !is_keyless {
        let base = transfer::new_base(kept).trying(|| format!("can't make a snapshot of map `{name}`"))?;
        transfer::snapshot(kept, &base).map_err(failed)?;
        let pin = next.join(site::base_of(name));
        base.pin(&pin).trying(|| format!("can't pin `{}`", pin.display()))?;
    }
    ways.write(next, name)?;
    let back = Derivation {
        from: live.info().id,
        to: kept.info().id,
        sums: converted.old_sums.clone(),
        converted: Some(Converted { base_of: Side::To, old_sums: record.sums.clone() }),
    };
    let path = next.join(site::transfer_of(name));
    bpffs::write_record(&path, &back.to_text()).trying(|| format!("can't write `{}`", path.display()))?;
    let Some(open) = back.open(&live_dir.join(name), next, name, migrations)? else { return Ok(None) };
    // Entries without keys are moved when nobody writes them any more.
    if is_keyless {
        return Ok(Some(Settled { exact: true, ..Settled::default() }));
    }
    let prepared = open.prepare(false).map_err(failed)?;
    open.settle(&prepared, false).map(Some).map_err(failed)
}

/// The maps of the live generation from which a way leads back to the kept one: by the names of their pins.
pub(crate) fn ways_back(live_dir: &Path) -> Result<Vec<(String, Derivation)>, Error> {
    let mut found = transfers_in(live_dir)?;
    found.retain(|(name, record)| {
        record.converted.is_some() && Ways::read(live_dir, name).is_ok_and(|ways| ways.back.is_some())
    });
    Ok(found)
}

/// What was tried where a map could not be settled.
pub(crate) fn unsettled(map: &str, error: &TransferError) -> Error {
    let message = format!("can't bring over what was written to map `{map}` since it was copied: {error}");
    Error::new(ErrorKind::Kernel, message)
}

/// The records of derived maps in a generation.
pub(crate) fn transfers_in(dir: &Path) -> Result<Vec<(String, Derivation)>, Error> {
    let mut found = Vec::new();
    for name in list(dir)? {
        let Some(map) = site::map_of_transfer(&name) else { continue };
        let path = dir.join(&name);
        let text = site::record(dir, &name)?.unwrap_or_default();
        let record = Derivation::parse(&text).ok_or_else(|| {
            Error::new(ErrorKind::Place, format!("`{}` holds `{text}`, which is no record", path.display()))
        })?;
        found.push((map.to_owned(), record));
    }
    Ok(found)
}

/// True where the entries of `map` can't be settled without a snapshot of them.
pub(crate) fn needs_base(map: &Map, sums: &[Sum]) -> bool {
    transfer::needs_base(map.info().map_type, map.info().value_size, sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let sums = |places: &[(u32, u32)]| places.iter().map(|&(offset, width)| Sum { offset, width }).collect();
        for (text, converted) in [
            ("12 34 8:4,16:8", None),
            ("12 34 8:4,16:8 from ", Some(Converted { base_of: Side::From, old_sums: Vec::new() })),
            ("12 34 8:4,16:8 to 0:4", Some(Converted { base_of: Side::To, old_sums: sums(&[(0, 4)]) })),
        ] {
            let record = Derivation { from: 12, to: 34, sums: sums(&[(8, 4), (16, 8)]), converted };
            assert_eq!(record.to_text(), text);
            assert_eq!(Derivation::parse(text), Some(record));
        }
        for damaged in ["", "12", "12 34", "12 34 8", "12 34 8:4 by", "12 34 8:4 to", "12 34 8:4 to 1"] {
            assert_eq!(Derivation::parse(damaged), None, "{damaged}");
        }
    }
}
