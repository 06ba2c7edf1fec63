//! Which map was copied or converted from which, written down beside the pins, so that what was written since can be settled by
//! whoever finds it.

use maplock_layout::conversion::{Conversion, Leg};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory::{self, list};
use crate::generation::names::{self, Came};
use crate::generation::records::Commit;
use crate::generation::text::{self, NoText};
use crate::sys::Map;
use crate::sys::bpffs::Dir;
use crate::transfer::migrate::Migrations;
use crate::transfer::{Side, Sum};

/// How a staged map was derived from one of the generation before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derivation {
    /// Id of the map that it was copied from.
    pub(crate) from: u32,
    /// Id of the map itself.
    pub(crate) to: u32,
    /// The pin of the map that it was copied from, if that had another name.
    pub(crate) was: Option<String>,
    /// Members that are added up, of the map itself.
    pub(crate) sums: Vec<Sum>,
    /// If entries were converted: what else has to be known. The conversion itself is in a text of its own ([`Ways`]).
    pub(crate) converted: Option<Converted>,
    /// How the generation of the map came then: by the name of the record, not by its text.
    pub(crate) came: Came,
}

/// What has to be known of entries that were converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Converted {
    /// Which of the two maps the snapshot is of.
    pub(crate) base_of: Side,
    /// Members that are added up, of the map that entries came from.
    pub(crate) old_sums: Vec<Sum>,
}

/// Before the older name of the pin.
const WAS: &str = " was ";

/// Behind the width of a sum that may be less than nothing.
const SIGNED: &str = "s";

impl Derivation {
    /// True if it tells of the way from the map of the one number to that of the other.
    pub(crate) fn is_between(&self, (from, to): (u32, u32)) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// The name of the pin of the map that the map `name` was derived from.
    pub(crate) fn old_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.was.as_deref().unwrap_or(name)
    }

    /// `12 34 8:4,16:8s`, where the last is signed, and for converted entries ` from 0:4,4:4` behind it, and ` was NAME` at the end.
    pub(crate) fn to_text(&self) -> String {
        let text = |sums: &[Sum]| {
            let sums: Vec<_> = sums
                .iter()
                .map(|sum| format!("{}:{}{}", sum.offset, sum.width, if sum.signed { SIGNED } else { "" }))
                .collect();
            sums.join(",")
        };
        let more = self.converted.as_ref().map_or_else(String::new, |converted| {
            let side = if converted.base_of == Side::From { "from" } else { "to" };
            format!(" {side} {}", text(&converted.old_sums))
        });
        let was = self.was.as_ref().map_or_else(String::new, |was| format!("{WAS}{was}"));
        format!("{} {} {}{more}{was}", self.from, self.to, text(&self.sums))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sums = |text: &str| {
            let sums = text.split(',').filter(|sum| !sum.is_empty()).map(|sum| {
                let (offset, width) = sum.split_once(':')?;
                let (width, signed) = width.strip_suffix(SIGNED).map_or((width, false), |width| (width, true));
                Some(Sum { offset: offset.parse().ok()?, width: width.parse().ok()?, signed })
            });
            sums.collect::<Option<Vec<_>>>()
        };
        let (text, was) = text.split_once(WAS).map_or((text, None), |(text, was)| (text, Some(was.to_owned())));
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
        Some(Self { from, to, was, sums: of_new, converted, came: Came::New })
    }
}

/// How entries were converted: the way there, and the way back if one leads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) there: Conversion,
    pub(crate) back: Option<Conversion>,
}

/// Between the two in their text.
const BACK: &str = "--- back ---\n";

impl Ways {
    /// Turned round. `None` if no way leads back.
    pub(crate) fn reversed(&self) -> Option<Self> {
        self.back.clone().map(|back| Self { there: back, back: Some(self.there.clone()) })
    }

    /// True if whoever has these conversions by hand can go there.
    fn has_code(&self, migrations: &Migrations) -> bool {
        self.there.legs.iter().all(|leg| match leg {
            Leg::Derived(_) => true,
            Leg::ByHand { from, to } => migrations.get(*from, *to).is_some(),
        })
    }

    /// Pins the text of it beside the map `name` in a generation.
    pub(crate) fn write(&self, dir: &Dir, name: &str, came: Came) -> Result<(), Error> {
        let path = dir.join(names::conversion_of(name, came));
        let mut text = self.there.to_text();
        if let Some(back) = &self.back {
            text.push_str(BACK);
            text.push_str(&back.to_text());
        }
        text::write(&path, "maplock_ways", &text).trying(|| format!("can't write `{}`", path.display()))?;
        directory::keep_owner_and_mode(&dir.join(name), &path)
    }

    /// Reads the text that is pinned beside the map `name` of a generation.
    pub(crate) fn read(dir: &Dir, name: &str, came: Came) -> Result<Self, Error> {
        let path = dir.join(names::conversion_of(name, came));
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
}

/// The maps of the live generation from which a way leads back to a kept one: by the names of their pins.
pub(crate) fn ways_back(live_dir: &Dir) -> Result<Vec<(String, Derivation)>, Error> {
    let mut found = transfers_in(live_dir)?;
    found.retain(|(name, record)| {
        record.converted.is_some() && Ways::read(live_dir, name, record.came).is_ok_and(|ways| ways.back.is_some())
    });
    Ok(found)
}

/// How a live map was converted from the kept one of that number, by the name of its pin.
pub(crate) fn ways_between(live_dir: &Dir, pin: &str, ids: (u32, u32)) -> Result<Option<Ways>, Error> {
    let found = transfers_in(live_dir)?.into_iter().find(|(name, record)| name == pin && record.is_between(ids));
    match found {
        Some((_, record)) if record.converted.is_some() => Ways::read(live_dir, pin, record.came).map(Some),
        _ => Ok(None),
    }
}

/// The records of derived maps in a generation, of its neighbours on both sides.
pub(crate) fn transfers_in(dir: &Dir) -> Result<Vec<(String, Derivation)>, Error> {
    let mut found = Vec::new();
    for name in list(dir)? {
        let Some((map, came)) = names::map_of_transfer(&name) else { continue };
        let path = dir.join(&name);
        let text = directory::record(dir, &name)?.unwrap_or_default();
        let record = Derivation::parse(&text).ok_or_else(|| {
            Error::new(ErrorKind::Place, format!("`{}` holds `{text}`, which is no record", path.display()))
        })?;
        found.push((map.to_owned(), Derivation { came, ..record }));
    }
    Ok(found)
}

/// How the maps of a staged generation were derived from the live ones.
pub(crate) fn staged_transfers(next: &Dir, commit: Commit) -> Result<Vec<(String, Derivation)>, Error> {
    // At a restart, none was: these tell how the maps that both have were derived from those of the kept generation.
    let Some(came) = commit.came() else { return Ok(Vec::new()) };
    let mut found = transfers_in(next)?;
    found.retain(|(_, record)| record.came == came);
    Ok(found)
}

/// The maps of a staged generation whose entries only code converts that is not among `migrations`.
pub(crate) fn lacks_code(next: &Dir, commit: Commit, migrations: &Migrations) -> Result<Vec<String>, Error> {
    let mut maps = Vec::new();
    for (name, record) in staged_transfers(next, commit)? {
        if record.converted.is_some() && !Ways::read(next, &name, record.came)?.has_code(migrations) {
            maps.push(name);
        }
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let sums = |places: &[(u32, u32, bool)]| {
            places.iter().map(|&(offset, width, signed)| Sum { offset, width, signed }).collect()
        };
        for (text, was, converted) in [
            ("12 34 8:4,16:8s", None, None),
            ("12 34 8:4,16:8s was the flows", Some("the flows"), None),
            ("12 34 8:4,16:8s from ", None, Some(Converted { base_of: Side::From, old_sums: Vec::new() })),
            (
                "12 34 8:4,16:8s from  was flows",
                Some("flows"),
                Some(Converted { base_of: Side::From, old_sums: Vec::new() }),
            ),
            ("12 34 8:4,16:8s to 0:4s", None, Some(Converted { base_of: Side::To, old_sums: sums(&[(0, 4, true)]) })),
        ] {
            let was = was.map(str::to_owned);
            let sums = sums(&[(8, 4, false), (16, 8, true)]);
            let record = Derivation { from: 12, to: 34, was, sums, converted, came: Came::New };
            assert_eq!(record.to_text(), text);
            assert_eq!(Derivation::parse(text), Some(record));
        }
        for damaged in
            ["", "12", "12 34", "12 34 8", "12 34 8:4 by", "12 34 8:4 to", "12 34 8:4 to 1", "12 34 8:4u", "12 34 8:s"]
        {
            assert_eq!(Derivation::parse(damaged), None, "{damaged}");
        }
    }
}
