//! Which map was copied from which, written down in a record beside the pins, so that what was written since can be settled by
//! whoever finds it.

use std::io;
use std::path::Path;

use crate::changeover::{is_there, list};
use crate::error::{Error, ErrorKind, Trying as _};
use crate::site;
use crate::sys::{Map, bpffs};
use crate::transfer::{self, Prepared, Settled, Sum, Transfer, TransferError};

/// How a staged map was derived from one of the generation before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derivation {
    /// Id of the map that it was copied from.
    pub(crate) from: u32,
    /// Id of the map itself.
    pub(crate) to: u32,
    /// Members that are added up.
    pub(crate) sums: Vec<Sum>,
}

impl Derivation {
    /// `12 34 8:4,16:8`
    pub(crate) fn to_text(&self) -> String {
        let sums: Vec<_> = self.sums.iter().map(|sum| format!("{}:{}", sum.offset, sum.width)).collect();
        format!("{} {} {}", self.from, self.to, sums.join(","))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (from, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let sums = words.next()?.split(',').filter(|sum| !sum.is_empty()).map(|sum| {
            let (offset, width) = sum.split_once(':')?;
            Some(Sum { offset: offset.parse().ok()?, width: width.parse().ok()? })
        });
        Some(Self { from, to, sums: sums.collect::<Option<_>>()? })
    }

    /// The two maps and the snapshot, by their ids where other maps are pinned there now. `None` where the old one is gone.
    pub(crate) fn open(&self, old: &Path, staged: &Path, name: &str) -> Result<Option<Open<'_>>, Error> {
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
        Ok(Some(Open { from, to, base, sums: &self.sums }))
    }
}

/// The maps of a derivation, open.
pub(crate) struct Open<'a> {
    from: Map,
    to: Map,
    base: Option<Map>,
    sums: &'a [Sum],
}

impl Open<'_> {
    /// Readies [`Self::settle`]; `back` to the old map, where the switch is undone.
    pub(crate) fn prepare(&self, back: bool) -> Result<Prepared<'_>, TransferError> {
        let (from, to) = if back { (&self.to, &self.from) } else { (&self.from, &self.to) };
        let transfer = Transfer { from, to, base: self.base.as_ref(), sums: self.sums };
        transfer.prepare(&transfer::Options::default())
    }

    /// Brings over what was written since the copy, as it was prepared.
    pub(crate) fn settle(&self, prepared: &Prepared<'_>, back: bool) -> Result<Settled, TransferError> {
        // An LRU that lacks an entry may have evicted it as it was copied: that is no reason to delete it where it came from.
        let keep_gone = back && transfer::evicts(self.from.info().map_type);
        prepared.settle(&mut transfer::Options { keep_gone, ..transfer::Options::default() })
    }
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
        let text = bpffs::read_record(&path).trying(|| format!("can't read `{}`", path.display()))?.unwrap_or_default();
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
