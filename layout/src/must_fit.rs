//! Entries that go into a map with less room must fit it.

use std::fmt;

use crate::lock::LockedMap;

/// What entries must be like to go into a smaller map: with others, a node refuses the upgrade, and nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MustFit {
    /// How many entries the smaller map has room for.
    pub room: u32,
    of: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// As many as there are.
    Entries,
    /// An array has an entry at each index, and loses none that is not zero.
    Indices,
    /// An array becomes a map of another kind.
    Others,
}

impl MustFit {
    /// What must be, for entries of `old` to be those of `new`. `None` if `new` has as much room or makes room by itself, or if a daemon
    /// decides on that.
    pub(crate) fn of(old: &LockedMap, new: &LockedMap) -> Option<Self> {
        let room = new.smaller_room_than(old)?;
        let (from, to) = (old.def.map_type, new.def.map_type);
        let of = match (from.is_array(), to.is_array()) {
            (false, _) => Of::Entries,
            (true, true) => Of::Indices,
            (true, false) if to.evicts() => return None,
            (true, false) => Of::Others,
        };
        Some(Self { room, of })
    }

    /// Which nodes refuse the upgrade for the entries of `map`: a clause.
    #[must_use]
    pub fn refusal(self, map: &str) -> String {
        let room = self.room;
        match self.of {
            Of::Entries => format!("a node with more than {} in `{map}` refuses the upgrade", entries(room)),
            Of::Indices => {
                format!("a node with an entry in `{map}` from index {room} on that is not zero refuses the upgrade")
            }
            Of::Others => format!("a node whose entries in `{map}` do not fit into {room} refuses the upgrade"),
        }
    }
}

/// As a phrase: `refused on a node with more than 256 entries`.
impl fmt::Display for MustFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self.room;
        match self.of {
            Of::Entries => write!(f, "refused on a node with more than {}", entries(room)),
            Of::Indices => write!(f, "refused on a node with an entry from index {room} on that is not zero"),
            Of::Others => write!(f, "refused on a node whose entries do not fit into {room}"),
        }
    }
}

fn entries(count: u32) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{MapDef, MapType};

    #[test]
    fn what_must_fit_depends_on_both_types() {
        let map = |map_type, max_entries| LockedMap::new(MapDef { max_entries, ..MapDef::new("m", map_type) });
        let said = |old, new| MustFit::of(&map(old, 8), &map(new, 1)).map(|of| (of.to_string(), of.refusal("m")));
        let (phrase, clause) = said(MapType::HASH, MapType::HASH).expect("less room");
        assert_eq!(phrase, "refused on a node with more than 1 entry");
        assert_eq!(clause, "a node with more than 1 entry in `m` refuses the upgrade");
        let (phrase, clause) = said(MapType::PERCPU_ARRAY, MapType::PERCPU_ARRAY).expect("less room");
        assert_eq!(phrase, "refused on a node with an entry from index 1 on that is not zero");
        assert_eq!(clause, "a node with an entry in `m` from index 1 on that is not zero refuses the upgrade");
        let (phrase, clause) = said(MapType::ARRAY, MapType::HASH).expect("less room");
        assert_eq!(phrase, "refused on a node whose entries do not fit into 1");
        assert_eq!(clause, "a node whose entries in `m` do not fit into 1 refuses the upgrade");
        assert_eq!(said(MapType::ARRAY, MapType::LRU_HASH), None);
        assert_eq!(MustFit::of(&map(MapType::HASH, 8), &map(MapType::HASH, 8)), None);
        // The daemon of one of them decides.
        assert_eq!(MustFit::of(&map(MapType::HASH, 8), &map(MapType::HASH, 0)), None);
    }
}
