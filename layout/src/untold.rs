//! What of a map nothing tells but how many bytes it has.

use std::fmt;

use crate::map::MapDef;

/// What of a map is known by its size alone: nothing tells what its bytes mean, and a change of the same size passes unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Untold {
    /// All that could have a type.
    All,
    /// The key alone: the value has a type.
    Key,
    /// The value alone: the key has a type.
    Value,
    /// Something of the maps that it holds.
    Inner,
}

impl Untold {
    /// Of a definition. `None` if each key and value that is data has a type.
    #[must_use]
    pub fn of(def: &MapDef) -> Option<Self> {
        let key = def.key_has_layout().then_some(def.key.is_some());
        let value = def.value_has_layout().then_some(def.value.is_some());
        match (key, value) {
            (Some(false), Some(true)) => Some(Self::Key),
            (Some(true), Some(false)) => Some(Self::Value),
            (Some(false), _) | (_, Some(false)) => Some(Self::All),
            _ => def.inner.as_deref().and_then(Self::of).map(|_| Self::Inner),
        }
    }

    /// Its name, as programs are told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Key => "key",
            Self::Value => "value",
            Self::Inner => "inner",
        }
    }

    /// What two definitions are that do not differ: `same layout`, if types say so.
    #[must_use]
    pub const fn same(untold: Option<Self>) -> &'static str {
        match untold {
            None => "same layout",
            Some(_) => "same sizes",
        }
    }

    /// How many of `all` maps are known by their sizes alone; `None` if each tells its types.
    #[must_use]
    pub fn counted(maps: impl IntoIterator<Item = Option<Self>>) -> Option<String> {
        let (mut all, mut alone, mut in_part) = (0_usize, 0_usize, 0_usize);
        for untold in maps {
            all += 1;
            match untold {
                None => {}
                Some(Self::All) => alone += 1,
                Some(_) => in_part += 1,
            }
        }
        let of = |number: usize| format!("{number} of {all} map{}", if all == 1 { "" } else { "s" });
        let (are, their) = if alone == 1 { ("is", "its sizes") } else { ("are", "their sizes") };
        match (alone, in_part) {
            (0, 0) => None,
            (_, 0) => Some(format!("{} {are} known by {their} alone", of(alone))),
            (0, _) => Some(format!("some types of {} are unknown", of(in_part))),
            _ => Some(format!("{} {are} known by {their} alone, and {in_part} in part", of(alone))),
        }
    }
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "its types are unknown",
            Self::Key => "the type of its key is unknown",
            Self::Value => "the type of its value is unknown",
            Self::Inner => "types of the maps that it holds are unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::{IntKind, Layout, Shape};
    use crate::map_type::MapType as T;

    fn def(map_type: T, key: bool, value: bool) -> MapDef {
        let int = || Arc::new(Layout::new(4, Shape::Int(IntKind::Unsigned)));
        MapDef {
            key_size: 4,
            value_size: 4,
            key: key.then(int),
            value: value.then(int),
            ..MapDef::new("flows", map_type)
        }
    }

    #[test]
    fn only_what_is_data_has_a_type_to_tell() {
        for (map_type, key, value, untold) in [
            (T::HASH, true, true, None),
            (T::HASH, false, false, Some(Untold::All)),
            (T::HASH, false, true, Some(Untold::Key)),
            (T::HASH, true, false, Some(Untold::Value)),
            (T::LPM_TRIE, false, false, Some(Untold::All)),
            // An index has no type that could be missing.
            (T::ARRAY, false, true, None),
            (T::ARRAY, true, false, Some(Untold::All)),
            (T::QUEUE, false, false, Some(Untold::All)),
            (T::PROG_ARRAY, false, false, None),
            (T::RINGBUF, false, false, None),
        ] {
            assert_eq!(Untold::of(&def(map_type, key, value)), untold, "{map_type} {key} {value}");
        }
        let holder = |inner| MapDef { inner: Some(Box::new(inner)), ..def(T::ARRAY_OF_MAPS, false, false) };
        assert_eq!(Untold::of(&holder(def(T::HASH, true, true))), None);
        assert_eq!(Untold::of(&holder(def(T::HASH, true, false))), Some(Untold::Inner));
    }

    #[test]
    fn maps_are_counted_whole_and_in_part() {
        let told = |all: &[Option<Untold>]| Untold::counted(all.iter().copied());
        let (whole, part) = (Some(Untold::All), Some(Untold::Key));
        assert_eq!(told(&[None, None]), None);
        assert_eq!(told(&[None, whole, whole]).as_deref(), Some("2 of 3 maps are known by their sizes alone"));
        assert_eq!(told(&[whole]).as_deref(), Some("1 of 1 map is known by its sizes alone"));
        assert_eq!(told(&[part, None]).as_deref(), Some("some types of 1 of 2 maps are unknown"));
        assert_eq!(
            told(&[part, whole, part]).as_deref(),
            Some("1 of 3 maps is known by its sizes alone, and 2 in part")
        );
    }
}
