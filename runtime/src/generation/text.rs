//! A text in a frozen map, pinned beside what it speaks of: bpffs has no files, and a symbolic link holds no more than 4,000 bytes.

use std::io;

use maplock_layout::map::MapType;

use crate::sys;
use crate::sys::bpffs::{self, Pin};
use crate::sys::consts::BPF_F_RDONLY_PROG;

/// Ends the name of a text between its pin and its rename over the one before it.
pub(crate) const FRESH: &str = "@new";

/// Pins a text, in the place of one that is there. The map is frozen before it is seen.
///
/// # Errors
/// The kernel's.
pub(crate) fn write(at: &Pin, name: &str, text: &str) -> io::Result<()> {
    let size = u32::try_from(text.len()).map_err(io::Error::other)?;
    let map = sys::Map::create(&sys::NewMap {
        name,
        flags: BPF_F_RDONLY_PROG,
        ..sys::NewMap::new(MapType::ARRAY, 4, size, 1)
    })?;
    map.update(&[0; 4], text.as_bytes(), 0)?;
    map.freeze()?;
    let fresh = at.dir().join(format!("{}{FRESH}", at.file_name()));
    bpffs::unlink(&fresh)?;
    map.pin(&fresh)?;
    bpffs::rename(&fresh, at)
}

/// Most bytes of a text that are read. Whoever may write to a directory of pins may put more there.
const MOST: u32 = 16 << 20;

/// A map that holds no text.
#[derive(Debug)]
pub(crate) enum NoText {
    /// It can't be read.
    Io(io::Error),
    /// It is no map that [`write`] made: why, as a phrase.
    Shape(String),
}

/// Reads the text of such a map.
pub(crate) fn read(map: &sys::Map) -> Result<String, NoText> {
    let info = map.info();
    if (info.map_type, info.key_size, info.max_entries) != (MapType::ARRAY, 4, 1) {
        return Err(NoText::Shape(format!(
            "it is of type {} with {} entries, not an array of one",
            info.map_type, info.max_entries
        )));
    }
    if info.value_size > MOST {
        return Err(NoText::Shape(format!("its text has {} bytes, and at most {MOST} are read", info.value_size)));
    }
    if !map.is_frozen().map_err(NoText::Io)? {
        return Err(NoText::Shape("it is not frozen, so that anybody may have written it".to_owned()));
    }
    let text = map.lookup(&[0; 4]).map_err(NoText::Io)?.unwrap_or_default();
    String::from_utf8(text).map_err(|_| NoText::Shape("its text is not UTF-8".to_owned()))
}
