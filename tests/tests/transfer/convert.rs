//! Entries that change their layout on the way.

use maplock::Migrations;
use maplock::internals::transfer::{Convert, Side, Way, new_base};
use maplock::layout::conversion::{Bits, Cast, Collide, Conversion, DerivedLeg, Int, Leg, Step, Steps};

use crate::support::*;
use maplock::internals::sys::Map;
use maplock::internals::transfer::{Method, Settled, Sum, TransferError};

/// Types whose entries programs convert.
pub(crate) const BY_PROGRAM: [MapType; 6] =
    [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY];

fn int(from: u32, from_width: u32, to: u32, to_width: u32) -> Step {
    let bits = |offset, width| Bits { offset, width, signed: false };
    Step::Int(Int {
        from: bits(from * 8, from_width),
        to: bits(to * 8, to_width),
        cast: None,
        scale: None,
        numbers: Vec::new(),
    })
}

fn copy(from: u32, to: u32, len: u32) -> Step {
    Step::Copy { from, to, len }
}

/// `{ u32 packets; u32 bytes; u8 rest[N]; }` to `{ u64 bytes; u8 rest[N]; u64 packets; u32 new = 7; }`.
struct Widened {
    leg: DerivedLeg,
    back: DerivedLeg,
    old_size: u32,
    new_size: u32,
    sums: Vec<Sum>,
    old_sums: Vec<Sum>,
}

fn same(size: u32) -> Steps {
    Steps { from_size: size, to_size: size, steps: vec![copy(0, 0, size)] }
}

fn widened(key: (Steps, Steps), rest: u32) -> Widened {
    let (old_size, at) = (8 + rest, 8 + rest.next_multiple_of(8));
    let new_size = at + 16;
    let steps = vec![
        int(4, 32, 0, 64),
        copy(8, 8, rest),
        int(0, 32, at, 64),
        Step::Set { to: at + 8, bytes: vec![7, 0, 0, 0] },
    ];
    let back = vec![int(0, 64, 4, 32), copy(8, 8, rest), int(at, 64, 0, 32)];
    Widened {
        leg: DerivedLeg {
            key: key.0,
            value: Steps { from_size: old_size, to_size: new_size, steps },
            collide: None,
            keeps_key: true,
        },
        back: DerivedLeg {
            key: key.1,
            value: Steps { from_size: new_size, to_size: old_size, steps: back },
            collide: None,
            keeps_key: true,
        },
        old_size,
        new_size,
        sums: vec![Sum { offset: 0, width: 8, signed: false }, Sum { offset: at, width: 8, signed: false }],
        old_sums: vec![Sum { offset: 0, width: 4, signed: false }, Sum { offset: 4, width: 4, signed: false }],
    }
}

fn way(legs: &[&DerivedLeg]) -> Way {
    let legs = legs.iter().map(|leg| Leg::Derived((*leg).clone())).collect();
    Way::new(&Conversion { legs }, &Migrations::default(), 0, 0).expect("nothing by hand")
}

/// A conversion with its own maps.
pub(crate) struct Scene {
    from: Map,
    to: Map,
    base: Map,
    there: Way,
    back: Way,
    sums: Vec<Sum>,
    old_sums: Vec<Sum>,
}

impl Scene {
    pub(crate) fn new(map_type: MapType, rest: u32, entries: u32) -> Self {
        let keys = if is_array(map_type) { 4 } else { 8 };
        let larger = Steps {
            from_size: 8,
            to_size: 12,
            steps: vec![copy(0, 4, 8), Step::Set { to: 0, bytes: vec![1, 2, 3, 4] }],
        };
        let smaller = Steps { from_size: 12, to_size: 8, steps: vec![copy(4, 0, 8)] };
        let key = if is_array(map_type) { (same(4), same(4)) } else { (larger, smaller) };
        let new_keys = key.0.to_size;
        let of = widened(key, rest);
        let room = if is_array(map_type) { entries } else { room(map_type, entries) + 64 };
        let from = new_map(map_type, keys, of.old_size, room);
        fill(&from, entries);
        Self {
            to: new_map(map_type, new_keys, of.new_size, room),
            base: new_base(&from).expect("memory"),
            from,
            there: way(&[&of.leg]),
            back: way(&[&of.back]),
            sums: of.sums,
            old_sums: of.old_sums,
        }
    }

    pub(crate) fn there(&self) -> Convert<'_> {
        Convert {
            from: &self.from,
            to: &self.to,
            base: Some(&self.base),
            base_of: Side::From,
            there: &self.there,
            back: Some(&self.back),
            sums: &self.sums,
        }
    }

    fn back(&self) -> Convert<'_> {
        Convert {
            from: &self.to,
            to: &self.from,
            base: Some(&self.base),
            base_of: Side::To,
            there: &self.back,
            back: Some(&self.there),
            sums: &self.old_sums,
        }
    }

    /// What the old map's entries are in the new layout, by the conversion in user space.
    fn converted(&self) -> Contents {
        let old = part(&self.from);
        let new = part(&self.to);
        let leg = widened_of(self);
        let mut converted = Contents::new();
        for (key, value) in contents(&self.from) {
            let mut values = vec![0; self.to.value_bytes()];
            for (old, new) in value.chunks(old).zip(values.chunks_mut(new)) {
                let size = self.from.info().value_size as usize;
                let value = leg.value.convert(&old[..size]).expect("it fits");
                new[..value.len()].copy_from_slice(&value);
            }
            converted.insert(leg.key.convert(&key).expect("it fits"), values);
        }
        converted
    }
}

fn widened_of(scene: &Scene) -> DerivedLeg {
    let rest = scene.from.info().value_size - 8;
    let key = if scene.from.info().key_size == 4 {
        (same(4), same(4))
    } else {
        let larger = Steps {
            from_size: 8,
            to_size: 12,
            steps: vec![copy(0, 4, 8), Step::Set { to: 0, bytes: vec![1, 2, 3, 4] }],
        };
        (larger, same(4))
    };
    widened(key, rest).leg
}

#[test]
fn every_entry_arrives_in_the_new_layout_whatever_the_type_and_the_method() {
    if !can_run() {
        return;
    }
    for map_type in BY_PROGRAM {
        for rest in [0, 4, 8, 60, 200, 1000] {
            for method in methods(map_type) {
                let scene = Scene::new(map_type, rest, 300);
                let copied = scene
                    .there()
                    .copy(&mut by(Some(method)))
                    .unwrap_or_else(|error| panic!("{map_type} {rest} {method:?}: {error}"));
                assert_eq!((copied.entries, copied.lost), (300, 0), "{map_type} {rest} {method:?}");
                assert_eq!(contents(&scene.to), scene.converted(), "{map_type} {rest} {method:?}");
                assert_eq!(contents(&scene.base), contents(&scene.from), "{map_type} {rest} {method:?}");
            }
        }
    }
}

fn edit(map: &Map, key: &[u8], edit: impl Fn(&mut [u8])) {
    let mut value = map.lookup(key).expect("readable").expect("there");
    let part = part(map);
    value.chunks_mut(part).for_each(edit);
    map.update(key, &value, 0).expect("writable");
}

fn number(value: &[u8], at: usize, width: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(&value[at..at + width]);
    u64::from_le_bytes(bytes)
}

fn add(value: &mut [u8], at: usize, width: usize, by: u64) {
    let sum = number(value, at, width).wrapping_add(by);
    value[at..at + width].copy_from_slice(&sum.to_le_bytes()[..width]);
}

#[test]
fn what_both_sides_wrote_since_the_copy_is_put_together() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::LRU_HASH, T::PERCPU_HASH] {
        for method in methods(map_type) {
            let scene = Scene::new(map_type, 8, 8);
            scene.there().copy(&mut by(Some(method))).expect("copied");
            let key = |number| key(&scene.from, number);
            let new = |number| widened_of(&scene).key.convert(&key(number)).expect("fits");
            let before = scene.converted();

            // 0: both count. 1: only old programs change a word. 2: both change words. 3: old ones delete it. 4: they delete it, and new
            // ones count in it. 5: new ones delete it, and old ones count. 100: old ones insert it.
            edit(&scene.from, &key(0), |value| add(value, 0, 4, 5));
            edit(&scene.to, &new(0), |value| add(value, 16, 8, 1 << 40));
            edit(&scene.from, &key(1), |value| value[9] = 0xaa);
            edit(&scene.from, &key(2), |value| value[9] = 0xaa);
            edit(&scene.to, &new(2), |value| value[9] = 0xbb);
            scene.from.delete(&key(3)).expect("deletable");
            scene.from.delete(&key(4)).expect("deletable");
            edit(&scene.to, &new(4), |value| add(value, 16, 8, 1));
            scene.to.delete(&new(5)).expect("deletable");
            edit(&scene.from, &key(5), |value| add(value, 0, 4, 5));
            scene.from.update(&key(100), &value(&scene.from, 100), 0).expect("room");

            let settled = scene.there().settle(&mut by(Some(method))).expect("settled");
            let there = contents(&scene.to);
            let first = |key: &[u8]| &there[key][..part(&scene.to)];
            let was = |key: &[u8]| &before[key][..part(&scene.to)];
            let at = format!("{map_type} {method:?} {settled:?}");
            assert_eq!(number(first(&new(0)), 16, 8), number(was(&new(0)), 16, 8) + (1 << 40) + 5, "{at}");
            assert_eq!(first(&new(1))[9], 0xaa, "{at}");
            assert_eq!(first(&new(2))[9], 0xbb, "{at}");
            assert!(!there.contains_key(&new(3)), "{at}");
            assert_eq!(number(first(&new(4)), 16, 8), 1, "{at}");
            assert!(!there.contains_key(&new(5)), "{at}");
            assert_eq!(there[&new(100)], scene.converted()[&new(100)], "{at}");
            assert_eq!(there.len(), 7, "{at}");
            assert_eq!((settled.inserted, settled.deleted), (1, 1), "{at}");

            // Once more, nothing changes.
            let again = scene.there().settle(&mut by(Some(method))).expect("settled");
            assert_eq!(contents(&scene.to), there, "{at}");
            let nothing = Settled { method: again.method, inexact: again.inexact, ..Settled::default() };
            assert_eq!(again, nothing, "{at}");
        }
    }
}

/// Beyond what a program that converts can address, they are converted in user space, and a program brings them over all the same.
#[test]
fn entries_of_more_than_32_kib_are_converted_and_settled() {
    // A value of that size is compared in a loop.
    if !can_run() || !has_programs(T::ARRAY) {
        return;
    }
    for map_type in [T::HASH, T::LRU_HASH, T::ARRAY] {
        for rest in [32_700, 32 << 10, 64 << 10, 128 << 10] {
            let scene = Scene::new(map_type, rest, 8);
            let at = format!("{map_type} {rest}");
            let copied = scene.there().copy(&mut by(None)).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!((copied.entries, copied.lost, copied.method), (8, 0, Some(Method::Kernel)), "{at}");
            assert!(contents(&scene.to) == scene.converted(), "{at}");
            assert!(contents(&scene.base) == contents(&scene.from), "{at}");
            let old = |number| key(&scene.from, number);
            let new = |number| widened_of(&scene).key.convert(&old(number)).expect("fits");
            let (count, last) = (8 + rest.next_multiple_of(8) as usize, 7 + rest as usize);
            let before = scene.converted();

            // 0: both count. 1: only old programs change the last byte of the rest. 2: both do. 3: old ones delete it. 100: they make it.
            edit(&scene.from, &old(0), |value| add(value, 0, 4, 5));
            edit(&scene.to, &new(0), |value| add(value, count, 8, 1 << 40));
            edit(&scene.from, &old(1), |value| value[last] = 0xaa);
            edit(&scene.from, &old(2), |value| value[last] = 0xaa);
            edit(&scene.to, &new(2), |value| value[last] = 0xbb);
            if !is_array(map_type) {
                scene.from.delete(&old(3)).expect("deletable");
                scene.from.update(&old(100), &value(&scene.from, 100), 0).expect("room");
            }
            let settled = scene.there().settle(&mut by(None)).unwrap_or_else(|error| panic!("{at}: {error}"));
            let at = format!("{at} {settled:?}");
            assert_eq!((settled.method, settled.is_exact()), (Some(Method::Kernel), true), "{at}");
            let there = contents(&scene.to);
            let counted = number(&before[&new(0)], count, 8) + (1 << 40) + 5;
            assert_eq!(number(&there[&new(0)], count, 8), counted, "{at}");
            assert_eq!((there[&new(1)][last], there[&new(2)][last]), (0xaa, 0xbb), "{at}");
            assert_eq!((settled.added, settled.changed, settled.kept_new), (1, 1, 1), "{at}");
            if !is_array(map_type) {
                assert!(!there.contains_key(&new(3)) && there[&new(100)] == scene.converted()[&new(100)], "{at}");
            }
            let again = scene.there().settle(&mut by(None)).expect("settled");
            assert!(contents(&scene.to) == there, "{at} {again:?}");
        }
    }
}

/// As above, from a new map to the old one.
#[test]
fn what_new_programs_wrote_to_entries_of_more_than_32_kib_is_carried_back() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::ARRAY] {
        for rest in [32_700, 64 << 10] {
            let scene = Scene::new(map_type, rest, 8);
            scene.there().copy(&mut by(None)).expect("copied");
            // What is settled back is held against what the new map was: the snapshot is of that side.
            let old = |number| key(&scene.from, number);
            let new = |number| widened_of(&scene).key.convert(&old(number)).expect("fits");
            let (count, last) = (8 + rest.next_multiple_of(8) as usize, 7 + rest as usize);
            let before = contents(&scene.from);
            edit(&scene.to, &new(0), |value| add(value, count, 8, 9));
            edit(&scene.to, &new(1), |value| value[last] = 0xcc);
            let at = format!("{map_type} {rest}");
            let settled = scene.back().settle(&mut by(None)).unwrap_or_else(|error| panic!("{at}: {error}"));
            let there = contents(&scene.from);
            assert_eq!(number(&there[&old(0)], 0, 4), number(&before[&old(0)], 0, 4) + 9, "{at} {settled:?}");
            assert_eq!(there[&old(1)][last], 0xcc, "{at} {settled:?}");
            assert!(there[&old(2)] == before[&old(2)], "{at} {settled:?}");
        }
    }
}

#[test]
fn what_both_sides_inserted_since_the_copy_is_as_new_programs_wrote_it() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::LRU_HASH] {
        for method in methods(map_type) {
            let scene = Scene::new(map_type, 8, 8);
            scene.there().copy(&mut by(Some(method))).expect("copied");
            let old_key = key(&scene.from, 100);
            let new_key = widened_of(&scene).key.convert(&old_key).expect("fits");
            let (mut old, mut new) = (vec![0; 16], vec![0; 32]);
            (old[0], old[9]) = (5, 0xaa);
            (new[16], new[9]) = (3, 0xbb);
            scene.from.update(&old_key, &old, 0).expect("room");
            scene.to.update(&new_key, &new, 0).expect("room");
            for _ in 0..2 {
                let settled = scene.there().settle(&mut by(Some(method))).expect("settled");
                let value = scene.to.lookup(&new_key).expect("readable").expect("there");
                assert_eq!((value[16], value[9]), (8, 0xbb), "{map_type} {method:?} {settled:?}");
            }
        }
    }
}

/// Deleted, and made anew with other counts.
fn remake(map: &Map, key: &[u8], change: impl Fn(&mut [u8])) {
    let mut value = map.lookup(key).expect("readable").expect("there");
    value.chunks_mut(part(map)).for_each(change);
    if !is_array(map.info().map_type) {
        assert!(map.delete(key).expect("deletable"));
    }
    map.update(key, &value, 0).expect("room");
}

fn set(value: &mut [u8], at: usize, width: usize, to: u64) {
    value[at..at + width].copy_from_slice(&to.to_le_bytes()[..width]);
}

#[test]
fn a_count_never_goes_below_nothing_in_either_direction() {
    if !can_run() {
        return;
    }
    // The counter `packets`, by the direction: where it is and how wide, in the map that entries come from and in the other.
    let (old, new) = ((0, 4), (16, 8));
    for map_type in [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY] {
        for method in methods(map_type) {
            for ((at, width), (to_at, to_width), is_back) in [(old, new, false), (new, old, true)] {
                let scene = Scene::new(map_type, 8, 8);
                let old_key = |number| key(&scene.from, number);
                let new_key = |number| widened_of(&scene).key.convert(&old_key(number)).expect("fits");
                let full = u64::from(u32::MAX);
                for (number, count) in [(0, 5), (1, 5), (2, full), (3, 5), (4, 5)] {
                    edit(&scene.from, &old_key(number), |value| set(value, 0, 4, count));
                }
                scene.there().copy(&mut by(Some(method))).expect("copied");
                let convert = if is_back { scene.back() } else { scene.there() };
                if is_back {
                    scene.there().settle(&mut by(Some(method))).expect("settled");
                }
                let from_key = |number| if is_back { new_key(number) } else { old_key(number) };
                let to_key = |number| if is_back { old_key(number) } else { new_key(number) };

                // 0: deleted, made anew and counted on both sides. 1: a gauge that both lower. 2: a counter that was full.
                // 3: more than half of what 4 bytes hold. 4: made anew on one side, and counted on the other.
                for (number, count) in [(0, 1), (1, 3), (2, 3), (3, 3_000_000_000), (4, 1)] {
                    remake(convert.from, &from_key(number), |value| set(value, at, width, count));
                }
                for (number, count) in [(0, 1), (1, 3), (4, 6)] {
                    remake(convert.to, &to_key(number), |value| set(value, to_at, to_width, count));
                }
                let settled = convert.settle(&mut by(Some(method))).expect("settled");
                let what = format!("{map_type} {method:?} back: {is_back}, {settled:?}");
                let after = contents(convert.to);
                for (number, count) in [(0, 1), (1, 1), (2, 3), (3, 3_000_000_000), (4, 2)] {
                    for value in after[&to_key(number)].chunks(part(convert.to)) {
                        assert_eq!(self::number(value, to_at, to_width), count, "{what}: {number}");
                    }
                }
                let cpus = match (is_per_cpu(map_type), method) {
                    (true, Method::Kernel) => maplock::internals::sys::possible_cpus().expect("sysfs").into(),
                    _ => 1,
                };
                assert_eq!((settled.not_carried, settled.is_exact()), (cpus, false), "{what}");
                assert_eq!(settled.added, 4 * cpus, "{what}");

                let again = convert.settle(&mut by(Some(method))).expect("settled");
                assert_eq!((contents(convert.to), again.not_carried), (after, 0), "{what}");
            }
        }
    }
}

#[test]
fn a_signed_count_that_both_sides_lower_goes_below_nothing() {
    if !can_run() {
        return;
    }
    // The gauge `packets`, by the direction, as above.
    let (old, new) = ((0, 4), (16, 8));
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY] {
        for method in methods(map_type) {
            for ((at, width), (to_at, to_width), is_back) in [(old, new, false), (new, old, true)] {
                let mut scene = Scene::new(map_type, 8, 8);
                scene.sums.iter_mut().chain(&mut scene.old_sums).for_each(|sum| sum.signed = true);
                let old_key = key(&scene.from, 0);
                let new_key = widened_of(&scene).key.convert(&old_key).expect("fits");
                edit(&scene.from, &old_key, |value| set(value, 0, 4, 5));
                scene.there().copy(&mut by(Some(method))).expect("copied");
                if is_back {
                    scene.there().settle(&mut by(Some(method))).expect("settled");
                }
                let (convert, from_key, to_key) = match is_back {
                    true => (scene.back(), &new_key, &old_key),
                    false => (scene.there(), &old_key, &new_key),
                };
                edit(convert.from, from_key, |value| set(value, at, width, 1));
                edit(convert.to, to_key, |value| set(value, to_at, to_width, 1));
                let settled = convert.settle(&mut by(Some(method))).expect("settled");
                let what = format!("{map_type} {method:?} back: {is_back}, {settled:?}");
                let mut below = vec![0; to_width];
                set(&mut below, 0, to_width, (-3_i64).cast_unsigned());
                for value in contents(convert.to)[to_key].chunks(part(convert.to)) {
                    assert_eq!(value[to_at..to_at + to_width], below, "{what}");
                }
                assert_eq!((settled.not_carried, settled.added > 0), (0, true), "{what}");
            }
        }
    }
}

#[test]
fn an_entry_of_many_counts_is_settled_by_a_program() {
    if !can_run() {
        return;
    }
    const COUNTS: u32 = 500;
    let value = Steps { from_size: COUNTS * 8, to_size: COUNTS * 8 + 8, steps: vec![copy(0, 8, COUNTS * 8)] };
    let there = way(&[&DerivedLeg { key: same(8), value, collide: None, keeps_key: true }]);
    let sums: Vec<_> = (1..=COUNTS).map(|at| Sum { offset: at * 8, width: 8, signed: false }).collect();
    let from = new_map(T::HASH, 8, COUNTS * 8, 1);
    let (to, base) = (new_map(T::HASH, 8, COUNTS * 8 + 8, 1), new_base(&from).expect("memory"));
    let base = Some(&base);
    let convert = Convert { from: &from, to: &to, base, base_of: Side::From, there: &there, back: None, sums: &sums };
    let of = |count: u64| count.to_ne_bytes().repeat(COUNTS as usize);
    from.update(&[1; 8], &of(5), 0).expect("room");
    convert.copy(&mut by(Some(Method::Kernel))).expect("copied");
    from.update(&[1; 8], &of(3), 0).expect("room");
    convert.settle(&mut by(Some(Method::Kernel))).expect("settled");
    let value = to.lookup(&[1; 8]).expect("readable").expect("there");
    assert_eq!(value[8..], of(3));
}

#[test]
fn a_count_of_an_entry_that_code_by_hand_converts_never_goes_below_nothing() {
    if !can_run() {
        return;
    }
    // Counts are at byte 0 of 16, and 8 bytes at byte 16 of 24.
    let there = crate::live::by_code(T::HASH);
    for method in methods(T::HASH) {
        let (from, to) = (new_map(T::HASH, 8, 16, 8), new_map(T::HASH, 8, 24, 8));
        let base = new_base(&from).expect("memory");
        let sums = [Sum { offset: 16, width: 8, signed: false }];
        let base = Some(&base);
        let convert =
            Convert { from: &from, to: &to, base, base_of: Side::From, there: &there, back: None, sums: &sums };
        let key = [7; 8];
        let mut value = vec![0; 16];
        set(&mut value, 0, 4, 5);
        from.update(&key, &value, 0).expect("room");
        convert.copy(&mut by(Some(method))).expect("copied");
        remake(&from, &key, |value| set(value, 0, 4, 1));
        remake(&to, &key, |value| set(value, 16, 8, 1));
        let settled = convert.settle(&mut by(Some(method))).expect("settled");
        let value = to.lookup(&key).expect("readable").expect("there");
        assert_eq!(number(&value, 16, 8), 1, "{method:?} {settled:?}");
        assert_eq!((settled.not_carried, settled.is_exact()), (1, false), "{method:?} {settled:?}");
    }
}

/// Every index of an array is in its snapshot from the start.
#[test]
fn an_array_that_code_by_hand_converts_is_there_after_the_copy() {
    if !can_run() {
        return;
    }
    let there = crate::live::by_code(T::ARRAY);
    for into in [T::ARRAY, T::HASH] {
        for method in METHODS {
            let (from, to) = (new_map(T::ARRAY, 4, 16, 8), new_map(into, 4, 24, 8));
            let base = new_base(&from).expect("memory");
            let sums = [Sum { offset: 16, width: 8, signed: false }];
            let base = Some(&base);
            let convert =
                Convert { from: &from, to: &to, base, base_of: Side::From, there: &there, back: None, sums: &sums };
            for number in 0..8_u32 {
                let mut value = vec![0; 16];
                set(&mut value, 0, 4, u64::from(number));
                set(&mut value, 8, 8, 1 << 40 | u64::from(number));
                from.update(&number.to_ne_bytes(), &value, 0).expect("room");
            }
            let copied = convert.copy(&mut by(Some(method))).expect("copied");
            let get = |number: u32| {
                let value = to.lookup(&number.to_ne_bytes()).expect("readable").expect("there");
                (number_of(&value, 0), number_of(&value, 16))
            };
            for number in 0..8 {
                let at = format!("{into} {method:?} {copied:?}");
                assert_eq!(get(number), (1 << 40 | u64::from(number), u64::from(number)), "{at}");
            }
            // What a new program wrote is its own.
            remake(&to, &3_u32.to_ne_bytes(), |value| set(value, 0, 8, 9));
            remake(&from, &4_u32.to_ne_bytes(), |value| set(value, 0, 4, 7));
            let settled = convert.settle(&mut by(Some(method))).expect("settled");
            assert_eq!((get(3).0, get(4).1), (9, 7), "{into} {method:?} {settled:?}");
            assert_eq!((settled.kept_new, settled.dropped), (0, 0), "{into} {method:?} {settled:?}");
        }
    }
}

fn number_of(value: &[u8], at: usize) -> u64 {
    number(value, at, 8)
}

#[test]
fn what_new_programs_wrote_is_carried_back() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY] {
        for method in methods(map_type) {
            let scene = Scene::new(map_type, 8, 8);
            scene.there().copy(&mut by(Some(method))).expect("copied");
            scene.there().settle(&mut by(Some(method))).expect("settled");
            let before = contents(&scene.from);
            let key = |number| key(&scene.from, number);
            let new = |number| widened_of(&scene).key.convert(&key(number)).expect("fits");
            edit(&scene.to, &new(0), |value| add(value, 16, 8, 3));
            edit(&scene.to, &new(1), |value| value[9] = 0xbb);
            edit(&scene.to, &new(2), |value| add(value, 24, 4, 3));
            if map_type != T::ARRAY {
                scene.to.delete(&new(3)).expect("deletable");
                let fresh = scene.to.lookup(&new(0)).expect("readable").expect("there");
                scene.to.update(&new(100), &fresh, 0).expect("room");
                // No entry of the old map would have this key.
                scene.to.update(&[9; 12], &fresh, 0).expect("room");
            }
            for round in 0..2 {
                let settled = scene.back().settle(&mut by(Some(method))).expect("settled");
                let after = contents(&scene.from);
                let at = format!("{map_type} {method:?} {round} {settled:?}");
                let mut expected = before.clone();
                for part in expected.get_mut(&key(0)).expect("there").chunks_mut(part(&scene.from)) {
                    add(part, 0, 4, 3);
                }
                for part in expected.get_mut(&key(1)).expect("there").chunks_mut(part(&scene.from)) {
                    part[9] = 0xbb;
                }
                if map_type != T::ARRAY {
                    expected.remove(&key(3));
                    let copy = expected[&key(0)].clone();
                    expected.insert(key(100), copy);
                }
                assert_eq!(after, expected, "{at}");
            }
        }
    }
}

#[test]
fn a_key_that_cannot_be_looked_for_is_told_also_where_there_was_no_room_at_first() {
    if !can_run() {
        return;
    }
    // The map that entries go to has wider keys, as after a downgrade, and one that no old entry can have had.
    let (narrow, wide) = (|number: u32| number.to_ne_bytes(), |number: u64| number.to_ne_bytes());
    let widen = Steps { from_size: 4, to_size: 8, steps: vec![int(0, 32, 0, 64)] };
    let Step::Int(narrowed) = int(0, 64, 0, 32) else { unreachable!("an integer") };
    let narrowed = vec![Step::Int(Int { cast: Some(Cast::Refuse), ..narrowed })];
    let back = Steps { from_size: 8, to_size: 4, steps: narrowed };
    let there = way(&[&DerivedLeg { key: widen, value: same(8), collide: None, keeps_key: true }]);
    let back = way(&[&DerivedLeg { key: back, value: same(8), collide: None, keeps_key: true }]);
    for _ in 0..5 {
        let (from, to) = (new_map(T::HASH, 4, 8, 200), new_map(T::HASH, 8, 8, 100));
        let base = new_base(&to).expect("memory");
        for key in (0..99).map(wide).chain([wide(1 << 40)]) {
            to.update(&key, &[5; 8], 0).expect("room");
            base.update(&key, &[5; 8], 0).expect("room");
        }
        // 40 entries were deleted, and make room for as many that were inserted.
        for key in (40..99).chain(1000..1040).map(narrow) {
            from.update(&key, &[5; 8], 0).expect("room");
        }
        let base = Some(&base);
        let (there, back) = (&there, Some(&back));
        let convert = Convert { from: &from, to: &to, base, base_of: Side::To, there, back, sums: &[] };
        let settled = convert.settle(&mut by(Some(Method::Kernel)));
        assert!(matches!(settled, Err(TransferError::Unfit { .. })), "{settled:?}");
    }
}

#[test]
fn two_keys_that_become_one_are_put_together_as_accepted() {
    if !can_run() {
        return;
    }
    for method in methods(T::HASH) {
        for collide in [Collide::Refuse, Collide::Sum, Collide::KeepOne] {
            let from = new_map(T::HASH, 8, 8, 64);
            for number in 0..8_u32 {
                let key: Vec<u8> = [number / 2, number % 2].iter().flat_map(|word| word.to_ne_bytes()).collect();
                from.update(&key, &1_u64.to_ne_bytes(), 0).expect("room");
            }
            let to = new_map(T::HASH, 4, 8, 64);
            let base = new_base(&from).expect("memory");
            let key = Steps { from_size: 8, to_size: 4, steps: vec![copy(0, 0, 4)] };
            let there = way(&[&DerivedLeg { key, value: same(8), collide: Some(collide), keeps_key: false }]);
            let sums = [Sum { offset: 0, width: 8, signed: false }];
            let convert = Convert {
                from: &from,
                to: &to,
                base: Some(&base),
                base_of: Side::From,
                there: &there,
                back: None,
                sums: &sums,
            };
            let copied = convert.copy(&mut by(Some(method)));
            if collide == Collide::Refuse {
                assert!(matches!(copied, Err(TransferError::Collision { .. })), "{method:?} {copied:?}");
                continue;
            }
            copied.expect("copied");
            from.update(&[1, 0, 0, 0, 1, 0, 0, 0], &11_u64.to_ne_bytes(), 0).expect("room");
            convert.settle(&mut by(Some(method))).expect("settled");
            let counts: Vec<u64> = contents(&to).values().map(|value| number(value, 0, 8)).collect();
            let all = if collide == Collide::Sum { [2, 12, 2, 2] } else { [1, 11, 1, 1] };
            assert_eq!(counts, all, "{method:?} {collide:?}");
        }
    }
}

#[test]
fn an_array_becomes_a_hash_and_a_hash_an_lru_hash() {
    if !can_run() {
        return;
    }
    for (old, new) in [
        (T::ARRAY, T::HASH),
        (T::ARRAY, T::LRU_HASH),
        (T::HASH, T::LRU_HASH),
        (T::LRU_HASH, T::HASH),
        (T::PERCPU_ARRAY, T::PERCPU_HASH),
    ] {
        for method in methods(old) {
            let from = new_map(old, 4, 16, room(old, 300));
            fill(&from, 300);
            let to = new_map(new, 4, 16, room(new, 300));
            let base = new_base(&from).expect("memory");
            let there = Way::new(&Conversion::default(), &Migrations::default(), 4, 16).expect("no code");
            let convert = Convert {
                from: &from,
                to: &to,
                base: Some(&base),
                base_of: Side::From,
                there: &there,
                back: None,
                sums: &[],
            };
            assert_eq!(convert.copy(&mut by(Some(method))).expect("copied").entries, 300);
            from.update(&7_u32.to_ne_bytes(), &vec![9; from.value_bytes()], 0).expect("there");
            convert.settle(&mut by(Some(method))).expect("settled");
            assert_eq!(contents(&to), contents(&from), "{old} {new} {method:?}");
        }
    }
}

#[test]
fn a_number_that_does_not_fit_is_refused_with_its_entry() {
    if !can_run() {
        return;
    }
    let from = new_map(T::HASH, 8, 8, 64);
    fill(&from, 8);
    let to = new_map(T::HASH, 8, 4, 64);
    let base = new_base(&from).expect("memory");
    let bits = |width| Bits { offset: 0, width, signed: false };
    for (cast, wanted) in
        [(Cast::Refuse, None), (Cast::Saturate, Some(u64::from(u32::MAX))), (Cast::Truncate, Some(0x1611_0c07))]
    {
        let int = Int { from: bits(64), to: bits(32), cast: Some(cast), scale: None, numbers: Vec::new() };
        let value = Steps { from_size: 8, to_size: 4, steps: vec![Step::Int(int)] };
        let there = way(&[&DerivedLeg { key: same(8), value, collide: None, keeps_key: true }]);
        let convert = Convert {
            from: &from,
            to: &to,
            base: Some(&base),
            base_of: Side::From,
            there: &there,
            back: None,
            sums: &[],
        };
        match (convert.copy(&mut by(Some(Method::Kernel))), wanted) {
            (Err(TransferError::Unfit { problem, .. }), None) => {
                assert!(problem.contains("the entry with the key"), "{problem}")
            }
            (Ok(_), Some(_)) => {
                for (key, value) in contents(&to) {
                    let old = number(&contents(&from)[&key], 0, 8);
                    let expected = if cast == Cast::Saturate { u64::from(u32::MAX) } else { old & 0xffff_ffff };
                    assert_eq!(number(&value, 0, 4), expected);
                }
            }
            (result, _) => panic!("{cast:?}: {result:?}"),
        }
    }
}

#[test]
fn several_stages_are_one_way_there_and_back() {
    if !can_run() {
        return;
    }
    // `{ u32 a; u32 b; }` to `{ u64 b; u64 a; }` to `{ u64 a; u64 new = 1; u64 b; }`.
    let leg = |from_size, to_size, steps| DerivedLeg {
        key: same(8),
        value: Steps { from_size, to_size, steps },
        collide: None,
        keeps_key: true,
    };
    let first = leg(8, 16, vec![int(0, 32, 8, 64), int(4, 32, 0, 64)]);
    let set = Step::Set { to: 8, bytes: vec![1] };
    let second = leg(16, 24, vec![copy(8, 0, 8), set, copy(0, 16, 8)]);
    let back_second = leg(24, 16, vec![copy(0, 8, 8), copy(16, 0, 8)]);
    let back_first = leg(16, 8, vec![int(8, 64, 0, 32), int(0, 64, 4, 32)]);
    for method in methods(T::HASH) {
        let from = new_map(T::HASH, 8, 8, 64);
        let old = |a: u32, b: u32| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
        let new = |a: u64, new: u64, b: u64| [a, new, b].map(u64::to_ne_bytes).concat();
        (1..=4_u64).for_each(|key| from.update(&key.to_ne_bytes(), &old(10, 20), 0).expect("room"));
        let (to, base) = (new_map(T::HASH, 8, 24, 64), new_base(&from).expect("memory"));
        let (there, back) = (way(&[&first, &second]), way(&[&back_second, &back_first]));
        let sums = [Sum { offset: 0, width: 8, signed: false }];
        let convert = Convert {
            from: &from,
            to: &to,
            base: Some(&base),
            base_of: Side::From,
            there: &there,
            back: Some(&back),
            sums: &sums,
        };
        convert.copy(&mut by(Some(method))).expect("copied");
        let key = |number: u64| number.to_ne_bytes();
        from.update(&key(1), &old(15, 21), 0).expect("there");
        to.update(&key(1), &new(110, 1, 20), 0).expect("there");
        convert.settle(&mut by(Some(method))).expect("settled");
        assert_eq!(to.lookup(&key(1)).expect("readable"), Some(new(115, 1, 21)), "{method:?}");
        assert_eq!(to.lookup(&key(2)).expect("readable"), Some(new(10, 1, 20)), "{method:?}");

        to.update(&key(2), &new(17, 9, 22), 0).expect("there");
        let old_sums = [Sum { offset: 0, width: 4, signed: false }];
        let undo = Convert {
            from: &to,
            to: &from,
            base_of: Side::To,
            there: &back,
            back: Some(&there),
            sums: &old_sums,
            ..convert
        };
        for _ in 0..2 {
            undo.settle(&mut by(Some(method))).expect("settled");
            assert_eq!(from.lookup(&key(1)).expect("readable"), Some(old(115, 21)), "{method:?}");
            assert_eq!(from.lookup(&key(2)).expect("readable"), Some(old(17, 22)), "{method:?}");
            assert_eq!(from.lookup(&key(3)).expect("readable"), Some(old(10, 20)), "{method:?}");
        }
    }
}

/// Keys of `{ u32 a; u32 padding; u64 b; }`, as many as there are, each with a padding of its own; the first two differ in that alone.
fn padded(map: &Map, entries: u32) {
    for number in 0..entries {
        let mut key = vec![0; 16];
        key[..4].copy_from_slice(&64_u32.to_ne_bytes());
        key[4..8].copy_from_slice(&number.to_ne_bytes());
        key[8..12].copy_from_slice(&number.max(1).to_ne_bytes());
        map.update(&key, &vec![number as u8; map.value_bytes()], 0).expect("room");
    }
}

#[test]
fn no_entry_takes_the_place_of_another_whose_key_differed_in_padding_alone() {
    if !can_run() {
        return;
    }
    let packed = Steps { from_size: 16, to_size: 12, steps: vec![copy(0, 0, 4), copy(8, 4, 8)] };
    let named = Steps { from_size: 16, to_size: 16, steps: vec![copy(0, 0, 4), copy(8, 8, 8)] };
    for map_type in [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::LPM_TRIE] {
        for key in [&packed, &named] {
            // Also where a conversion says that no two can meet: by then it is wrong, and no entry is lost by it.
            for collide in [None, Some(Collide::Refuse)] {
                for method in methods(map_type).into_iter().map(Some).chain([None]) {
                    if map_type == T::LPM_TRIE && method == Some(Method::Kernel) {
                        continue;
                    }
                    let said = format!("{map_type} {collide:?} {method:?}");
                    let from = new_map(map_type, 16, 8, room(map_type, 64));
                    let there = way(&[&DerivedLeg { key: key.clone(), value: same(8), collide, keeps_key: true }]);
                    let copied = |to: &Map| {
                        let base = new_base(&from).expect("memory");
                        let (base, there) = (Some(&base), &there);
                        let convert =
                            Convert { from: &from, to, base, base_of: Side::From, there, back: None, sums: &[] };
                        convert.copy(&mut by(method))
                    };
                    padded(&from, 8);
                    let to = new_map(map_type, key.to_size, 8, room(map_type, 64));
                    let Err(error) = copied(&to) else { panic!("{said}: two entries were made one") };
                    assert!(
                        matches!(error, TransferError::Collision { failed: 1, keys: Some(_), .. }),
                        "{said} {error:?}"
                    );
                    let named = |number: u32| {
                        let bytes = [64, number, number.max(1), 0].map(u32::to_ne_bytes).concat();
                        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
                    };
                    let told = error.to_string();
                    assert!(told.contains(&named(0)) && told.contains(&named(1)), "{said} {told}");

                    // Padding that differs where no two keys meet is no hindrance.
                    let first = [64_u32, 0, 1, 0].map(u32::to_ne_bytes).concat();
                    assert!(from.delete(&first).expect("there"));
                    let to = new_map(map_type, key.to_size, 8, room(map_type, 64));
                    assert_eq!(copied(&to).expect("copied").entries, 7, "{said}");
                    assert_eq!(contents(&to).len(), 7, "{said}");
                }
            }
        }
    }
}

#[test]
fn what_old_programs_delete_is_deleted_also_where_keys_might_have_met() {
    if !can_run() {
        return;
    }
    let key = Steps { from_size: 16, to_size: 16, steps: vec![copy(0, 0, 4), copy(8, 8, 8)] };
    let collide = Some(Collide::Refuse);
    let there = way(&[&DerivedLeg { key, value: same(8), collide, keeps_key: true }]);
    for method in methods(T::HASH).into_iter().map(Some).chain([None]) {
        let (from, to) = (new_map(T::HASH, 16, 8, 64), new_map(T::HASH, 16, 8, 64));
        padded(&from, 8);
        assert!(from.delete(&[64_u32, 0, 1, 0].map(u32::to_ne_bytes).concat()).expect("there"));
        let base = new_base(&from).expect("memory");
        let (base, there) = (Some(&base), &there);
        let convert = Convert { from: &from, to: &to, base, base_of: Side::From, there, back: None, sums: &[] };
        convert.copy(&mut by(method)).expect("copied");
        assert!(from.delete(&[64_u32, 5, 5, 0].map(u32::to_ne_bytes).concat()).expect("there"));
        let settled = convert.settle(&mut by(method)).expect("settled");
        assert_eq!((settled.deleted, contents(&to).len()), (1, 6), "{method:?}");
    }
}
