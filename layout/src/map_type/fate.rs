//! What becomes of a map's entries when another definition takes the place of its own.

use super::Behaviour;
use crate::epoch::OnUpgrade;
use crate::kernel_field;
use crate::map::MapDef;

/// What becomes of a map's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// They stay in the map, and the map stays.
    Stay,
    /// A new map of another capacity takes all of them over, as they are.
    Carried,
    /// A new map takes all of them over, converted.
    Converted,
    /// They stay in the map, which keeps its capacity, though more was asked for: why.
    KeepSize(String),
    /// The loader fills a new map; the old programs keep theirs.
    Refilled,
    /// They stay in the old map until their reader has read them; the new programs write a new one.
    LeftToReader,
    /// They are given up: a new map is empty.
    GivenUp,
    /// It can't be so: why. Nothing happens to them.
    Refused(String),
}

impl Fate {
    /// Why entries are not where one would look for them: a phrase. `None` if nothing but the answer says so.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Stay | Self::Carried | Self::Converted | Self::GivenUp => None,
            Self::Refilled => Some("filled anew by the new programs; the old ones keep theirs"),
            Self::LeftToReader => Some("events not yet read stay in the old buffer, which is kept"),
            Self::KeepSize(because) | Self::Refused(because) => Some(because),
        }
    }
}

/// What becomes of the entries of a map defined as `old` when `new` takes its place, and the answer to what changed is
/// `on_upgrade`: `reuse` also if nothing changed that asks for an answer. All that decides on entries asks this: the gate, and
/// what a node does.
#[must_use]
pub fn fate(old: &MapDef, new: &MapDef, on_upgrade: OnUpgrade) -> Fate {
    fate_where(old, new, on_upgrade, || is_same(old, new))
}

/// As [`fate`], for whoever knows whether both have one digest.
pub(crate) fn fate_where(old: &MapDef, new: &MapDef, on_upgrade: OnUpgrade, is_same: impl FnOnce() -> bool) -> Fate {
    let (entries, same_type) = (old.map_type.row().entries, old.map_type == new.map_type);
    match on_upgrade {
        OnUpgrade::Refuse => Fate::Refused("a person has to decide".to_owned()),
        _ if same_type && entries == Behaviour::Refilled => Fate::Refilled,
        OnUpgrade::Swap | OnUpgrade::Drop => match entries {
            Behaviour::Refilled => Fate::Refilled,
            Behaviour::Events => Fate::LeftToReader,
            _ => Fate::GivenUp,
        },
        // A smaller capacity does not keep the kernel from taking the map.
        OnUpgrade::Reuse if new.max_entries <= old.max_entries => Fate::Stay,
        OnUpgrade::Reuse => carried(old, new),
        OnUpgrade::Migrate if is_same() => carried(old, new),
        OnUpgrade::Migrate => converted(old, new),
    }
}

/// True if another map can take over the entries of a map defined so: a larger one, or one of another layout.
#[must_use]
pub fn can_be_carried(def: &MapDef) -> bool {
    let larger = MapDef { max_entries: def.max_entries.saturating_add(1), ..def.clone() };
    fate_where(def, &larger, OnUpgrade::Reuse, || true) == Fate::Carried
        || fate_where(def, def, OnUpgrade::Migrate, || false) == Fate::Converted
}

/// Why no node could do this with the entries of a map defined as `old`, when one defined as `new` takes its place: a phrase. `None`
/// if a node can.
#[must_use]
pub fn why_no_node(old: &MapDef, new: &MapDef, on_upgrade: OnUpgrade) -> Option<String> {
    why_not(old, on_upgrade, &fate(old, new, on_upgrade))
}

/// As [`why_no_node`], by what would come of it.
pub(crate) fn why_not(old: &MapDef, on_upgrade: OnUpgrade, fate: &Fate) -> Option<String> {
    let of = || old.map_type.noun();
    match (on_upgrade, fate) {
        (OnUpgrade::Refuse, _) => None,
        (_, Fate::Refused(because)) | (OnUpgrade::Migrate, Fate::KeepSize(because)) => Some(because.clone()),
        (OnUpgrade::Migrate, Fate::Refilled) => {
            Some(format!("entries of {} can't be converted: each loader fills its own", of()))
        }
        (OnUpgrade::Migrate, Fate::LeftToReader) => {
            Some(format!("entries of {} can't be converted: they stay in the old one until they are read", of()))
        }
        _ => None,
    }
}

/// True if the capacity is all that may differ.
fn is_same(old: &MapDef, new: &MapDef) -> bool {
    let cheap = |def: &MapDef| (def.map_type, def.key_size, def.value_size, def.map_extra, def.effective_flags());
    cheap(old) == cheap(new) && old.digest() == new.digest()
}

/// Into a map of another capacity.
fn carried(old: &MapDef, new: &MapDef) -> Fate {
    let of = |because: &str| format!("entries of {} can't be copied: {because}", old.map_type.noun());
    let because = match old.map_type.row().entries {
        Behaviour::Events => return Fate::LeftToReader,
        Behaviour::NotCopyable(because) => of(because),
        Behaviour::Copied | Behaviour::MovedAtSettle | Behaviour::OneByOne => {
            match old.value.as_deref().and_then(kernel_field::uncarried) {
                Some(field) => of(&format!("the value holds a {field}, which belongs to the kernel")),
                None => return Fate::Carried,
            }
        }
        // Nobody reads a value to carry it over.
        Behaviour::InnerMapsById | Behaviour::Refilled => return Fate::Carried,
    };
    match new.max_entries > old.max_entries && old.map_type.is_known() {
        true => Fate::KeepSize(because),
        false => Fate::Refused(because),
    }
}

/// Into a map of another definition. Of the value's members, those that belong to the kernel have to be given up one by one.
fn converted(old: &MapDef, new: &MapDef) -> Fate {
    let (from, to) = (old.map_type, new.map_type);
    match from.row().entries {
        Behaviour::NotCopyable(because) => {
            Fate::Refused(format!("entries of {} can't be copied: {because}", from.noun()))
        }
        Behaviour::Events if from == to => Fate::LeftToReader,
        _ if from.converts_into(to) => Fate::Converted,
        _ if from == to => Fate::Refused(format!("entries of {} can't be converted", from.noun())),
        _ => Fate::Refused(format!("entries of {} can't become those of {}", from.noun(), to.noun())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};
    use crate::map::MapType as T;

    fn def(map_type: T, max_entries: u32) -> MapDef {
        MapDef { key_size: 4, value_size: 16, max_entries, ..MapDef::new("m", map_type) }
    }

    /// A value with a struct of that name in it.
    fn holding(name: &str) -> Arc<Layout> {
        let word = Arc::new(Layout::new(8, Shape::Int(IntKind::Unsigned)));
        let member = |name: &str, offset_bits, layout| Member { name: name.into(), offset_bits, bits: None, layout };
        let composite = |name: &str, members| {
            let of = Composite::new(CompositeKind::Struct, Some(name.into()), members).expect("few members");
            Arc::new(Layout::new(16, Shape::Composite(Arc::new(of))))
        };
        composite("value", vec![member("field", 0, composite(name, vec![member("opaque", 0, word)]))])
    }

    fn pointing(target: &str) -> Arc<Layout> {
        Arc::new(Layout::new(8, Shape::Pointer { target: target.into() }))
    }

    /// What becomes of entries if the capacity alone changes, and if the value does too.
    fn fates(old: &MapDef) -> [Fate; 4] {
        let larger = MapDef { max_entries: old.max_entries * 2, ..old.clone() };
        let smaller = MapDef { max_entries: old.max_entries / 2, ..old.clone() };
        let wider = MapDef { value_size: 32, value: None, ..old.clone() };
        [
            fate(old, &larger, OnUpgrade::Reuse),
            fate(old, &smaller, OnUpgrade::Migrate),
            fate(old, &wider, OnUpgrade::Migrate),
            fate(old, &wider, OnUpgrade::Swap),
        ]
    }

    #[test]
    fn each_behaviour_has_its_fates() {
        let refused = |what: &str| Fate::Refused(what.to_owned());
        assert_eq!(fates(&def(T::HASH, 8)), [Fate::Carried, Fate::Carried, Fate::Converted, Fate::GivenUp]);
        assert_eq!(fates(&def(T::STACK, 8)), [Fate::Carried, Fate::Carried, Fate::Converted, Fate::GivenUp]);
        let no = refused("entries of a devmap can't be converted");
        assert_eq!(fates(&def(T::DEVMAP, 8)), [Fate::Carried, Fate::Carried, no, Fate::GivenUp]);
        let no = refused("entries of an array_of_maps can't be converted");
        assert_eq!(fates(&def(T::ARRAY_OF_MAPS, 8)), [Fate::Carried, Fate::Carried, no, Fate::GivenUp]);
        assert_eq!(fates(&def(T::PROG_ARRAY, 8)), [const { Fate::Refilled }; 4]);
        assert_eq!(fates(&def(T::RINGBUF, 8)), [const { Fate::LeftToReader }; 4]);
        let because = "entries of an arena can't be copied: it holds memory with pointers into itself";
        let kept = Fate::KeepSize(because.to_owned());
        assert_eq!(fates(&def(T::ARENA, 8)), [kept, refused(because), refused(because), Fate::GivenUp]);
    }

    #[test]
    fn entries_that_stay_where_they_are_are_carried_by_nothing() {
        for (map_type, is_carried) in [
            (T::HASH, true),
            (T::PERCPU_ARRAY, true),
            (T::LPM_TRIE, true),
            (T::RINGBUF, false),
            (T::PROG_ARRAY, false),
            (T::SK_STORAGE, false),
            (T(4711), false),
        ] {
            assert_eq!(can_be_carried(&def(map_type, 8)), is_carried, "{map_type}");
        }
        // It keeps its size, and can be converted.
        assert!(can_be_carried(&MapDef { value: Some(holding("bpf_timer")), ..def(T::HASH, 8) }));
        assert!(can_be_carried(&def(T::HASH, u32::MAX)), "it can't grow, and can be converted");
    }

    #[test]
    fn of_an_unknown_type_no_change_is_taken_but_to_give_its_entries_up() {
        let because = "entries of a map of type 4711 can't be copied: nothing is known of this type";
        let no = || Fate::Refused(because.to_owned());
        let old = def(T(4711), 8);
        assert_eq!(fates(&old), [no(), no(), no(), Fate::GivenUp]);
        assert_eq!(fate(&old, &old, OnUpgrade::Reuse), Fate::Stay);
    }

    #[test]
    fn a_value_with_a_field_of_the_kernels_keeps_its_map() {
        for (value, field) in [
            (holding("bpf_timer"), Some("bpf_timer")),
            (holding("bpf_wq"), Some("bpf_wq")),
            (holding("bpf_list_head"), Some("bpf_list_head")),
            (holding("bpf_rb_root"), Some("bpf_rb_root")),
            (pointing("kptr struct task_struct"), Some("kptr")),
            (pointing("struct task_struct"), None),
            (holding("bpf_spin_lock"), None),
            (holding("bpf_res_spin_lock"), None),
            (holding("bytes"), None),
        ] {
            let old = MapDef { value: Some(value), ..def(T::HASH, 8) };
            match field {
                None => assert_eq!(fates(&old)[..3], [Fate::Carried, Fate::Carried, Fate::Converted]),
                Some(field) => {
                    let because = format!(
                        "entries of a hash can't be copied: the value holds a {field}, which belongs to the kernel"
                    );
                    let no = Fate::Refused(because.clone());
                    assert_eq!(fates(&old), [Fate::KeepSize(because), no, Fate::Converted, Fate::GivenUp]);
                }
            }
        }
    }

    #[test]
    fn entries_go_into_types_that_hold_them() {
        let into = |from, to| fate(&def(from, 8), &def(to, 8), OnUpgrade::Migrate);
        assert_eq!(into(T::ARRAY, T::LRU_HASH), Fate::Converted);
        let no = "entries of a hash can't become those of a percpu_hash";
        assert_eq!(into(T::HASH, T::PERCPU_HASH), Fate::Refused(no.to_owned()));
        let ring = "entries of a ringbuf can't be converted: they stay in the old one until they are read";
        assert_eq!(why_no_node(&def(T::RINGBUF, 8), &def(T::RINGBUF, 4), OnUpgrade::Migrate), Some(ring.to_owned()));
        let calls = "entries of a prog_array can't be converted: each loader fills its own";
        assert_eq!(
            why_no_node(&def(T::PROG_ARRAY, 8), &def(T::PROG_ARRAY, 4), OnUpgrade::Migrate),
            Some(calls.to_owned())
        );
        assert_eq!(why_no_node(&def(T::HASH, 8), &def(T::LRU_HASH, 4), OnUpgrade::Migrate), None);
        let no = "entries of a prog_array can't become those of a hash";
        assert_eq!(into(T::PROG_ARRAY, T::HASH), Fate::Refused(no.to_owned()));
        assert_eq!(fate(&def(T::PROG_ARRAY, 8), &def(T::HASH, 8), OnUpgrade::Swap), Fate::Refilled);
    }
}
