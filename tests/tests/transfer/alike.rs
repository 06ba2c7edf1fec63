//! What is the same whether entries stay as they are or are converted: one driver does both.

use maplock::Migrations;
use maplock::internals::sys::{Map, NewMap};
use maplock::internals::transfer::{
    Convert, Method, Prepared, Settled, Side, Sum, Transfer, TransferError, TransferOptions, Way, new_base,
};
use maplock::layout::Digest;
use maplock::layout::conversion::{Collide, Conversion, DerivedLeg, Leg, Step, Steps};
use maplock::{Entries, Migrate, MigrateError};
use maplock_tests::kernel;

use crate::support::*;

/// A transfer of values of 8 bytes; where they are converted, to 16 bytes, behind the same key.
struct Scene {
    maps: Maps,
    there: Option<Way>,
    back: Way,
}

fn leg(from: u32, to: u32, value: Step, key_size: u32) -> Way {
    let key =
        Steps { from_size: key_size, to_size: key_size, steps: vec![Step::Copy { from: 0, to: 0, len: key_size }] };
    let value = Steps { from_size: from, to_size: to, steps: vec![value] };
    let legs = vec![Leg::Derived(DerivedLeg { key, value, collide: None, keeps_key: true })];
    Way::new(&Conversion { legs }, &Migrations::default(), 0, 0).expect("nothing by hand")
}

const SUMS: [Sum; 0] = [];

impl Scene {
    /// Maps with room for so many entries each.
    fn new(map_type: T, converted: bool, from: u32, to: u32) -> Self {
        let key_size = if is_array(map_type) { 4 } else { 8 };
        let from = new_map(map_type, key_size, 8, from);
        let to = new_map(map_type, key_size, if converted { 16 } else { 8 }, to);
        let there = converted.then(|| leg(8, 16, Step::Copy { from: 0, to: 8, len: 8 }, key_size));
        let back = leg(16, 8, Step::Copy { from: 8, to: 0, len: 8 }, key_size);
        let base = Some(new_base(&from).expect("memory"));
        Self { maps: Maps { from, to, base, sums: SUMS.to_vec() }, there, back }
    }

    fn prepare(&self, method: Method) -> Result<Prepared<'_>, TransferError> {
        match &self.there {
            None => self.maps.transfer().prepare(&by(Some(method))),
            Some(_) => self.convert().prepare(&by(Some(method))),
        }
    }

    fn convert(&self) -> Convert<'_> {
        let Maps { from, to, base, .. } = &self.maps;
        let there = self.there.as_ref().expect("it is converted");
        Convert { from, to, base: base.as_ref(), base_of: Side::From, there, back: Some(&self.back), sums: &SUMS }
    }

    fn copy(&self, method: Method) -> Result<u64, TransferError> {
        let copied = match &self.there {
            None => self.maps.copy(Some(method)),
            Some(_) => self.convert().copy(&mut by(Some(method))),
        };
        copied.map(|copied| copied.entries)
    }

    fn settle(&self, method: Method) -> Result<Settled, TransferError> {
        self.prepare(method)?.settle(&mut TransferOptions::default())
    }

    fn settle_back(&self, method: Method, what_fits: bool) -> Result<Settled, TransferError> {
        let options = &mut TransferOptions { what_fits, ..by(Some(method)) };
        let Maps { from, to, base, .. } = &self.maps;
        let base = base.as_ref();
        match &self.there {
            None => Transfer { from: to, to: from, base, sums: &SUMS }.settle(options),
            Some(there) => {
                let (there, back) = (&self.back, Some(there));
                let back = Convert { from: to, to: from, base, base_of: Side::To, there, back, sums: &SUMS };
                back.settle(options)
            }
        }
    }

    fn put(&self, map: &Map, number: u32, value: u64) {
        let is_wide = map.info().value_size == 16;
        let mut part = if is_wide { vec![0; 8] } else { Vec::new() };
        part.extend(value.to_ne_bytes());
        let all = part.repeat(map.value_bytes() / part.len());
        map.update(&key(map, number), &all, 0).expect("room");
    }

    fn get(&self, map: &Map, number: u32) -> Option<u64> {
        let value = map.lookup(&key(map, number)).expect("readable")?;
        let at = map.info().value_size as usize - 8;
        Some(u64::from_ne_bytes(value[at..at + 8].try_into().expect("8 bytes")))
    }
}

fn each_scene(types: &[T], rooms: (u32, u32), test: impl Fn(&Scene, Method, &str)) {
    if !can_run() {
        return;
    }
    for map_type in types {
        for converted in [false, true] {
            for method in methods(*map_type) {
                let scene = Scene::new(*map_type, converted, rooms.0, rooms.1);
                test(&scene, method, &format!("{map_type} converted: {converted} {method:?}"));
            }
        }
    }
}

#[test]
fn an_array_shrinks_where_the_rest_of_it_holds_nothing() {
    each_scene(&[T::ARRAY, T::PERCPU_ARRAY], (10, 6), |scene, method, what| {
        let Maps { from, to, .. } = &scene.maps;
        (0..6).for_each(|number| scene.put(from, number, 5));
        assert_eq!(scene.copy(method).unwrap_or_else(|error| panic!("{what}: {error}")), 6, "{what}");
        scene.put(from, 1, 7);
        scene.settle(method).unwrap_or_else(|error| panic!("{what}: {error}"));
        let there: Vec<_> = (0..6).map(|number| scene.get(to, number)).collect();
        assert_eq!(there, [5, 7, 5, 5, 5, 5].map(Some), "{what}");

        // Not where there is something, even if that was written since the copy.
        let prepared = scene.prepare(method).expect("the rest is empty");
        scene.put(from, 8, 1);
        for error in [
            prepared.settle(&mut TransferOptions::default()).expect_err("no room"),
            scene.copy(method).expect_err("no room"),
            scene.settle(method).expect_err("no room"),
        ] {
            assert!(matches!(error, TransferError::Full { max_entries: 6, failed: 1, .. }), "{what}: {error}");
        }
    });
}

#[test]
fn an_array_that_grew_is_carried_back_where_nothing_is_in_what_is_new() {
    each_scene(&[T::ARRAY, T::PERCPU_ARRAY], (6, 10), |scene, method, what| {
        let Maps { from, to, .. } = &scene.maps;
        (0..6).for_each(|number| scene.put(from, number, 5));
        scene.copy(method).expect("copied");
        scene.settle(method).expect("settled");
        scene.put(to, 2, 9);
        scene.settle_back(method, false).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((scene.get(from, 2), scene.get(from, 3)), (Some(9), Some(5)), "{what}");
        scene.put(to, 9, 9);
        scene.put(to, 3, 7);
        for (what_fits, value) in [(false, 5), (true, 7)] {
            let error = scene.settle_back(method, what_fits).expect_err("no room");
            assert!(matches!(error, TransferError::Full { max_entries: 6, failed: 1, .. }), "{what}: {error}");
            assert_eq!(scene.get(from, 3), Some(value), "{what}");
        }
    });
}

#[test]
fn what_old_programs_deleted_makes_room_for_what_they_inserted() {
    each_scene(&[T::HASH, T::PERCPU_HASH], (100, 100), |scene, method, what| {
        let Maps { from, to, .. } = &scene.maps;
        (0..100).for_each(|number| scene.put(from, number, 5));
        scene.copy(method).expect("copied");
        for number in 0..60 {
            assert!(from.delete(&key(from, number)).expect("there"));
            scene.put(from, 1000 + number, 6);
        }
        let settled = scene.settle(method).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((settled.inserted, settled.deleted), (60, 60), "{what}: {settled:?}");
        assert_eq!(contents(to).len(), 100, "{what}");
        assert_eq!((scene.get(to, 99), scene.get(to, 1059), scene.get(to, 59)), (Some(5), Some(6), None), "{what}");
    });
}

#[test]
fn a_second_pass_that_found_no_room_is_run_again_where_there_is() {
    each_scene(&[T::HASH, T::PERCPU_HASH], (120, 100), |scene, method, what| {
        let Maps { from, to, .. } = &scene.maps;
        (0..90).for_each(|number| scene.put(from, number, 5));
        scene.copy(method).expect("copied");
        let prepared = scene.prepare(method).expect("loaded");
        (1000..1020).for_each(|number| scene.put(from, number, 6));
        let error = prepared.settle(&mut TransferOptions::default()).expect_err("no room");
        assert!(matches!(error, TransferError::Full { max_entries: 100, .. }), "{what}: {error}");
        (0..20).for_each(|number| assert!(from.delete(&key(from, number)).expect("there")));
        prepared.settle(&mut TransferOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let there: Vec<_> = (1000..1020).filter_map(|number| scene.get(to, number)).collect();
        assert_eq!((contents(to).len(), there), (90, vec![6; 20]), "{what}");

        // And once more: nothing is told twice.
        let again = prepared.settle(&mut TransferOptions::default()).expect("settled");
        assert_eq!(again, Settled { method: again.method, inexact: again.inexact, ..Settled::default() }, "{what}");
    });
}

#[test]
fn an_lru_map_with_lists_of_its_own_takes_all_entries_that_it_has_room_for() {
    const NO_COMMON_LRU: u32 = 2;
    let entries = kernel::times(10_000, 1_000);
    for map_type in [T::LRU_HASH, T::LRU_PERCPU_HASH] {
        each_scene(&[map_type], (4 * room(map_type, entries), 1), |scene, method, what| {
            let mut new = NewMap::new(map_type, 8, scene.maps.to.info().value_size, room(map_type, entries));
            new.flags = NO_COMMON_LRU;
            let to = Map::create(&new).expect("memory");
            (0..entries).for_each(|number| scene.put(&scene.maps.from, number, 5));
            let Maps { from, base, .. } = &scene.maps;
            let (base, options) = (base.as_ref(), &mut by(Some(method)));
            let copied = match &scene.there {
                None => Transfer { from, to: &to, base, sums: &SUMS }.copy(options),
                Some(_) => Convert { to: &to, ..scene.convert() }.copy(options),
            };
            let copied = copied.expect("copied");
            assert_eq!((copied.entries, copied.lost), (entries.into(), 0), "{what}");
            assert_eq!(contents(&to).len(), entries as usize, "{what}");
        });
    }
}

#[test]
fn entries_that_become_one_are_not_told_as_lost() {
    if !can_run() {
        return;
    }
    for method in methods(T::LRU_HASH) {
        let (from, to) = (new_map(T::LRU_HASH, 8, 8, room(T::LRU_HASH, 8)), new_map(T::LRU_HASH, 4, 8, 8));
        (0..8_u64).for_each(|number| {
            let key = ((number % 2) | number << 32).to_le_bytes();
            from.update(&key, &1_u64.to_ne_bytes(), 0).expect("room");
        });
        let base = new_base(&from).expect("memory");
        let there = Way::new(&first_word(Collide::Sum), &Migrations::default(), 0, 0).expect("no code");
        let (base, sums) = (Some(&base), &[Sum { offset: 0, width: 8, signed: false }][..]);
        let convert = Convert { from: &from, to: &to, base, base_of: Side::From, there: &there, back: None, sums };
        let copied = convert.copy(&mut by(Some(method))).expect("copied");
        assert_eq!((copied.entries, copied.lost, contents(&to).len()), (8, 0, 2), "{method:?}");
    }
}

/// Keys of 8 bytes become their first 4.
fn first_word(collide: Collide) -> Conversion {
    let key = Steps { from_size: 8, to_size: 4, steps: vec![Step::Copy { from: 0, to: 0, len: 4 }] };
    let value = Steps { from_size: 8, to_size: 8, steps: vec![Step::Copy { from: 0, to: 0, len: 8 }] };
    Conversion { legs: vec![Leg::Derived(DerivedLeg { key, value, collide: Some(collide), keeps_key: false })] }
}

#[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct Number(u64);

impl maplock::MapValue for Number {}

impl Migrate<Number> for Number {
    type OldKey = u32;
    type Key = u32;

    fn migrate(key: &u32, old: &Number, new: &mut Entries<'_, u32, Self>) -> Result<(), MigrateError> {
        new.insert(*key, Self(old.0));
        Ok(())
    }
}

#[test]
fn keys_that_meet_are_told_as_that_also_on_the_way_to_code() {
    if !can_run() {
        return;
    }
    let digest = |digit: &str| Digest::parse(&digit.repeat(32)).expect("a digest");
    let (old, new) = (digest("a"), digest("b"));
    let mut migrations = Migrations::default();
    migrations.add::<Number, Number>(old, new);
    let mut conversion = first_word(Collide::Refuse);
    conversion.legs.push(Leg::ByHand { from: old, to: new });
    let there = Way::new(&conversion, &migrations, 0, 0).expect("it is there");
    for method in methods(T::HASH) {
        let (from, to) = (new_map(T::HASH, 8, 8, 8), new_map(T::HASH, 4, 8, 8));
        for number in [1_u64, 1 << 32 | 1] {
            from.update(&number.to_le_bytes(), &1_u64.to_ne_bytes(), 0).expect("room");
        }
        let base = new_base(&from).expect("memory");
        let (base, sums) = (Some(&base), &[][..]);
        let convert = Convert { from: &from, to: &to, base, base_of: Side::From, there: &there, back: None, sums };
        let copied = convert.copy(&mut by(Some(method)));
        assert!(matches!(copied, Err(TransferError::Collision { failed: 1, .. })), "{method:?} {copied:?}");
    }
}
