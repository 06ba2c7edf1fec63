//! What the names in a generation mean. bpffs refuses a dot in a name; `@` is fine.

pub use maplock_layout::map::pin_name;
use maplock_layout::map::{NAME_KEPT, kept_name};

use crate::generation::meta;
use crate::generation::text::FRESH;

/// Ends the name of the pin of a hook's program.
pub(crate) const PROG: &str = "@prog";
/// Ends the name of a map's snapshot, while it is staged.
const BASE: &str = "@base";
/// Ends the name of the record of how a map was derived from that of the generation before.
const TRANSFER: &str = "@transfer";
/// Ends the name of the text of how entries were converted on the way.
const CONVERSION: &str = "@conversion";
/// Ends the name of the record of where a hook was attached that has vanished since.
const TARGET: &str = "@target";
/// The record that says: this generation is complete, go on with it. Written before the first link is switched.
pub(crate) const COMMIT: &str = "commit@record";
/// The record that says: the pins are being moved one by one.
pub(crate) const MOVING: &str = "moving@record";
/// The record that says: this is a kept generation, on its way back; and where it was kept.
pub(crate) const RETURNING: &str = "returning@record";
/// The record that says: this kept generation is newer than the live one, which a roll-back from it led to.
pub(crate) const NEWER: &str = "newer@record";

/// The map that is locked while the generations are changed: one, pinned in all of them.
pub(crate) const LOCK: &str = "maplock@lock";
/// The record that says: this generation came back by a roll-back that a start completed, which whoever called it does not know yet.
pub(crate) const RETURNED: &str = "returned@record";

/// The lock of the release that made a generation, with its epochs.
pub(crate) const HISTORY: &str = "maplock@history";

/// The directory in a staged generation that holds the old one while the pins are moved one by one.
pub(crate) const LEFT: &str = "left@pins";

/// Name of a map's snapshot.
pub(crate) fn base_of(map: &str) -> String {
    format!("{map}{BASE}")
}

/// How a generation became the live one when a map of it was derived from one of the generation before. What it knows of one neighbour
/// outlives a way to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Came {
    /// It was made then.
    #[default]
    New,
    /// From a newer one, by a roll-back.
    Back,
    /// From an older one, as a roll-back to that was undone: this tells nothing that it has not known since it was made, and goes with the
    /// commit.
    Again,
}

impl Came {
    const ALL: [Self; 3] = [Self::Back, Self::Again, Self::New];

    fn ending(self) -> &'static str {
        match self {
            Self::New => "",
            Self::Back => "@back",
            Self::Again => "@again",
        }
    }
}

/// Name of the record of how a map was derived.
pub(crate) fn transfer_of(map: &str, came: Came) -> String {
    format!("{map}{TRANSFER}{}", came.ending())
}

/// Name of the text of how a map's entries were converted.
pub(crate) fn conversion_of(map: &str, came: Came) -> String {
    format!("{map}{CONVERSION}{}", came.ending())
}

/// What a name is made of that ends so.
fn derivation<'a>(name: &'a str, what: &str) -> Option<(&'a str, Came)> {
    Came::ALL.into_iter().find_map(|came| Some((name.strip_suffix(came.ending())?.strip_suffix(what)?, came)))
}

/// The map of which a pin says how it was derived: by a record, or by the text of a conversion; and how its generation came then.
pub(crate) fn map_of_derivation(name: &str) -> Option<(&str, Came)> {
    map_of_transfer(name).or_else(|| derivation(name, CONVERSION))
}

/// True for a map that holds the text of a conversion or of a lock, or one that a crash kept from its place, and no entries.
pub(crate) fn is_text(name: &str) -> bool {
    derivation(name, CONVERSION).is_some() || name.ends_with(FRESH) || name == HISTORY
}

/// The map of a transfer record, and how its generation came then.
pub(crate) fn map_of_transfer(name: &str) -> Option<(&str, Came)> {
    derivation(name, TRANSFER)
}

/// Name of a hook's program.
pub(crate) fn prog_of(hook: &str) -> String {
    format!("{hook}{PROG}")
}

/// Name of the record of where a vanished hook was.
pub(crate) fn target_of(hook: &str) -> String {
    format!("{hook}{TARGET}")
}

/// The hook of a target record.
pub(crate) fn hook_of_target(name: &str) -> Option<&str> {
    name.strip_suffix(TARGET)
}

/// True for names that maplock itself puts into a generation, beside maps and links.
pub(crate) fn is_own(name: &str) -> bool {
    name == meta::NAME
        || [COMMIT, MOVING, RETURNING, RETURNED, NEWER, LEFT, LOCK, HISTORY].contains(&name)
        || map_of_derivation(name).is_some()
        || [PROG, BASE, TARGET, FRESH].iter().any(|ending| name.ends_with(ending))
}

/// True for snapshots, records and what else a committed generation needs no more.
pub(crate) fn is_scaffold(name: &str) -> bool {
    [COMMIT, MOVING, RETURNING, NEWER, LEFT].contains(&name)
        || name.ends_with(BASE)
        || name.ends_with(FRESH)
        || map_of_derivation(name).is_some_and(|(_, came)| came == Came::Again)
}

/// True for the name of a directory that is some daemon's kept or staged generation.
pub(crate) fn is_generation(dir: &str) -> bool {
    dir.rsplit_once('@').is_some_and(|(_, which)| which.starts_with("prev") || which.starts_with("next"))
}

/// Why a pin of another name may be that of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// It is called what the kernel keeps of the map's name (`BPF_OBJ_NAME_LEN`, with its NUL).
    Cut,
    /// It is called as libbpf pins a section of global data: the first bytes of the object's name before the section's
    /// (`internal_map_name`).
    OfObject,
}

impl Alike {
    /// A phrase.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Cut => "the kernel keeps 15 bytes of a name",
            Self::OfObject => "libbpf puts the object's name before a section's",
        }
    }
}

/// Whether a pin that is not called as the map is may be the map's all the same.
#[must_use]
pub(crate) fn alike(map: &str, pin: &str) -> Option<Alike> {
    let name = pin_name(map);
    if pin == name {
        return None;
    }
    if kept_name(&name) == pin {
        return Some(Alike::Cut);
    }
    let section = map.starts_with('.').then(|| pin.find(&name)).flatten();
    // The whole is cut as well, and a custom section goes without the object's name.
    let is_of_object = section.is_some_and(|at| (1..=8).contains(&at) && at + name.len() == pin.len())
        || map.starts_with('.')
            && pin.len() == NAME_KEPT
            && (1..=8).any(|at| pin.get(at..).is_some_and(|end| end.len() > 3 && name.starts_with(end)));
    is_of_object.then_some(Alike::OfObject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_of_other_names_may_be_a_maps() {
        for (map, pin, expected) in [
            ("flows", "flows", None),
            ("flows", "flow", None),
            ("connections_by_source", "connections_by_", Some(Alike::Cut)),
            ("connections_by_source", "connections_by", None),
            (".bss", "minimesh_bss", Some(Alike::OfObject)),
            (".rodata", "minimesh_rodata", Some(Alike::OfObject)),
            (".rodata.str1", "minimesh_rodata", Some(Alike::OfObject)),
            (".bss", "_bss", None),
            (".bss", "longer_than_eight_bss", None),
            ("bss", "minimesh_bss", None),
        ] {
            assert_eq!(alike(map, pin), expected, "{map} {pin}");
        }
    }

    #[test]
    fn how_a_map_was_derived_is_told_by_one_name_for_each_way() {
        for came in Came::ALL {
            let (record, text) = (transfer_of("flows", came), conversion_of("flows", came));
            assert_eq!(map_of_transfer(&record), Some(("flows", came)));
            assert_eq!(map_of_derivation(&record), Some(("flows", came)));
            assert_eq!((map_of_transfer(&text), map_of_derivation(&text)), (None, Some(("flows", came))));
            assert!(is_own(&record) && is_text(&text) && !is_text(&record));
            assert_eq!(is_scaffold(&record), came == Came::Again);
        }
        assert_eq!(map_of_derivation("flows@back"), None);
    }

    #[test]
    fn pins_have_no_dots() {
        assert_eq!(pin_name(".rodata.custom"), "_rodata_custom");
        assert_eq!(pin_name("backends"), "backends");
    }
}
