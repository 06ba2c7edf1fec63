//! The rule of settling for one entry, written down once more, and held against what programs, system calls and conversions make of many
//! entries with histories at random.

use std::collections::BTreeMap;

use maplock::internals::sys::{Map, has_atomic_fetch};
use maplock::internals::transfer::{Convert, Method, Settled, Side, Sum, Transfer, Way};
use maplock::layout::Digest;
use maplock::layout::conversion::{Conversion, Leg};
use maplock::{Entries, Migrate, MigrateError, Migrations};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::support::*;

const KEYS: u32 = 96;

/// A value: three sums, of which the second may be less than nothing, and a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Value {
    wide: u64,
    signed: i64,
    narrow: u32,
    word: u32,
}

const SUMS: [Sum; 3] = [
    Sum { offset: 0, width: 8, signed: false },
    Sum { offset: 8, width: 8, signed: true },
    Sum { offset: 16, width: 4, signed: false },
];

impl maplock::MapValue for Value {}

impl Migrate<Value> for Value {
    type OldKey = u64;
    type Key = u64;

    fn migrate(key: &u64, old: &Value, new: &mut Entries<'_, u64, Self>) -> Result<(), MigrateError> {
        new.insert(*key, *old);
        Ok(())
    }
}

type State = BTreeMap<u32, Value>;

/// A count that old programs brought from `before` to `old`, in an entry that holds `new`; `None` where it would be below nothing.
fn counted(new: u64, old: u64, before: u64) -> Option<u64> {
    if old >= before { Some(new + (old - before)) } else { new.checked_sub(before - old) }
}

impl Value {
    /// What becomes of `self`, an entry of the new map.
    fn merged(mut self, old: Self, before: Option<Self>, settled: &mut Settled) -> Self {
        let was = before.unwrap_or_default();
        let differs = (old.wide, old.signed, old.narrow) != (was.wide, was.signed, was.narrow);
        let wide = counted(self.wide, old.wide, was.wide);
        let narrow = counted(self.narrow.into(), old.narrow.into(), was.narrow.into());
        let is_lower =
            old.wide != was.wide && self.wide < was.wide || old.narrow != was.narrow && self.narrow < was.narrow;
        match (wide, narrow) {
            (Some(_), Some(_)) if differs => {
                settled.added += 1;
                settled.maybe_another += u64::from(is_lower || before.is_none());
            }
            (Some(_), Some(_)) => {}
            _ => settled.not_carried += 1,
        }
        self.wide = wide.unwrap_or(self.wide);
        self.narrow = narrow.map_or(self.narrow, |narrow| u32::try_from(narrow).expect("small"));
        self.signed += old.signed - was.signed;
        match before {
            Some(before) if before.word == old.word => {}
            Some(before) if before.word == self.word => {
                self.word = old.word;
                settled.changed += 1;
            }
            // Two words that went the same way are no one way.
            _ => settled.kept_new += 1,
        }
        self
    }

    /// What is left of it without what another one held.
    fn without(self, before: Self) -> Self {
        Self {
            wide: self.wide.checked_sub(before.wide).unwrap_or(self.wide),
            signed: self.signed - before.signed,
            narrow: self.narrow.checked_sub(before.narrow).unwrap_or(self.narrow),
            word: self.word,
        }
    }
}

/// What the maps hold, by the rule.
#[derive(Debug, Clone, Default)]
struct Model {
    from: State,
    to: State,
    base: State,
}

impl Model {
    fn turned(&mut self) {
        std::mem::swap(&mut self.from, &mut self.to);
    }

    /// Programs make an entry of each CPU's values first, all of them 0, and settle them then.
    fn settle(&mut self, begins_with_zeros: bool) -> Settled {
        let mut settled = Settled::default();
        for key in 0..KEYS {
            let (old, before, new) = (self.from.get(&key), self.base.get(&key), self.to.get(&key).copied());
            let after = match (old.copied(), before.copied()) {
                (old, before) if old == before => continue,
                (None, Some(before)) => match new {
                    Some(new) if new == before => {
                        settled.deleted += 1;
                        None
                    }
                    Some(new) => {
                        settled.kept_new += 1;
                        Some(new.without(before))
                    }
                    None => None,
                },
                (Some(old), None) if new.is_none() => {
                    settled.inserted += 1;
                    Some(old)
                }
                (Some(old), before) => match (new, before) {
                    (Some(new), before) => {
                        let before = before.or(begins_with_zeros.then(Value::default));
                        Some(new.merged(old, before, &mut settled))
                    }
                    (None, before) => {
                        let was = before.unwrap_or_default();
                        let sums = |value: Value| (value.wide, value.signed, value.narrow);
                        settled.dropped += u64::from(sums(old) != sums(was));
                        None
                    }
                },
                (None, None) => continue,
            };
            match after {
                Some(after) => _ = self.to.insert(key, after),
                None => _ = self.to.remove(&key),
            }
            match self.from.get(&key) {
                Some(old) => _ = self.base.insert(key, *old),
                None => _ = self.base.remove(&key),
            }
        }
        settled
    }
}

/// How entries get from one map to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Same,
    /// Converted into what they were.
    Steps,
    Code,
}

struct Scene {
    maps: Maps,
    model: Model,
    engine: Engine,
    way: Way,
    random: u64,
}

impl Scene {
    fn new(map_type: T, engine: Engine, seed: u64) -> Self {
        let value_size = u32::try_from(size_of::<Value>()).expect("small");
        let mut maps = Maps::new(map_type, value_size, if is_array(map_type) { KEYS } else { 0 }, &SUMS);
        if !is_array(map_type) {
            let new = || new_map(map_type, 8, value_size, room(map_type, KEYS * 2));
            (maps.from, maps.to) = (new(), new());
            maps.base = Some(maplock::internals::transfer::new_base(&maps.from).expect("memory"));
        }
        let digest = |digit: &str| Digest::parse(&digit.repeat(32)).expect("a digest");
        let (from, to) = (digest("a"), digest("b"));
        let mut migrations = Migrations::default();
        migrations.add::<Value, Value>(from, to);
        let legs = if engine == Engine::Code { vec![Leg::ByHand { from, to }] } else { Vec::new() };
        let key_size = maps.from.info().key_size;
        let way = Way::new(&Conversion { legs }, &migrations, key_size, value_size).expect("it is there");
        let mut scene = Self { maps, model: Model::default(), engine, way, random: seed };
        for key in 0..KEYS {
            if is_array(map_type) || scene.below(4) > 0 {
                let value = scene.value();
                scene.write(true, key, Some(value));
            }
        }
        scene
    }

    fn below(&mut self, most: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % most
    }

    /// Numbers are small, so that they often meet nothing.
    fn value(&mut self) -> Value {
        let mut below = |most| u32::try_from(self.below(most)).expect("small");
        Value { wide: below(8).into(), signed: i64::from(below(8)) - 3, narrow: below(8), word: below(3) }
    }

    fn write(&mut self, is_old: bool, number: u32, value: Option<Value>) {
        let map = if is_old { &self.maps.from } else { &self.maps.to };
        let state = if is_old { &mut self.model.from } else { &mut self.model.to };
        match value {
            Some(value) => {
                let bytes = value.as_bytes().repeat(map.value_bytes() / size_of::<Value>());
                map.update(&key(map, number), &bytes, 0).expect("room");
                state.insert(number, value);
            }
            None => {
                _ = map.delete(&key(map, number)).expect("deletable");
                state.remove(&number);
            }
        }
    }

    /// Programs of one side work for a while.
    fn work(&mut self, is_old: bool) {
        for number in 0..KEYS {
            for _ in 0..self.below(3) {
                let there = if is_old { &self.model.from } else { &self.model.to }.get(&number).copied();
                let (what, by) = (self.below(8), self.value());
                let value = match (there, what) {
                    (_, 0) if !is_array(self.maps.from.info().map_type) => None,
                    (_, 1) | (None, _) => Some(by),
                    (Some(there), 2) => Some(Value { word: by.word, ..there }),
                    // A gauge falls.
                    (Some(there), 3) => Some(Value {
                        wide: there.wide.saturating_sub(by.wide),
                        signed: there.signed - by.signed,
                        narrow: there.narrow.saturating_sub(by.narrow),
                        ..there
                    }),
                    (Some(there), _) => Some(Value {
                        wide: there.wide + by.wide,
                        signed: there.signed + by.signed,
                        narrow: there.narrow + by.narrow,
                        ..there
                    }),
                };
                self.write(is_old, number, value);
            }
        }
    }

    fn settle(&mut self, method: Method, back: bool) -> Settled {
        let Maps { from, to, base, .. } = &self.maps;
        let (from, to) = if back { (to, from) } else { (from, to) };
        let base_of = if back { Side::To } else { Side::From };
        let (base, sums, options) = (base.as_ref(), &SUMS[..], &mut by(Some(method)));
        let settled = match self.engine {
            Engine::Same => Transfer { from, to, base, sums }.settle(options),
            Engine::Steps | Engine::Code => {
                Convert { from, to, base, base_of, there: &self.way, back: Some(&self.way), sums }.settle(options)
            }
        };
        settled.expect("settled")
    }

    fn copy(&mut self, method: Method) {
        let Maps { from, to, base, .. } = &self.maps;
        let (base, sums, options) = (base.as_ref(), &SUMS[..], &mut by(Some(method)));
        let (there, base_of) = (&self.way, Side::From);
        let copied = match self.engine {
            Engine::Same => Transfer { from, to, base, sums }.copy(options),
            Engine::Steps | Engine::Code => Convert { from, to, base, base_of, there, back: None, sums }.copy(options),
        };
        copied.expect("copied");
        (self.model.to, self.model.base) = (self.model.from.clone(), self.model.from.clone());
    }

    fn is_as_the_rule_says(&self, what: &str) {
        let Maps { from, to, base, .. } = &self.maps;
        let base = base.as_ref().expect("a snapshot");
        let Model { from: old, to: new, base: before } = &self.model;
        for (map, state, which) in [(from, old, "old"), (to, new, "new"), (base, before, "snapshot")] {
            let is = contents(map);
            let wanted: Contents =
                state.iter().map(|(number, value)| (key(map, *number), on_all_cpus(map, *value))).collect();
            for number in 0..KEYS {
                let key = key(map, number);
                assert_eq!(is.get(&key), wanted.get(&key), "{what}: {which}, {number}");
            }
            assert_eq!(is.len(), wanted.len(), "{what}: {which}");
        }
    }
}

fn on_all_cpus(map: &Map, value: Value) -> Vec<u8> {
    value.as_bytes().repeat(map.value_bytes() / size_of::<Value>())
}

#[test]
fn every_engine_and_method_settles_by_the_rule() {
    if !can_run() {
        return;
    }
    let types = [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY, T::LPM_TRIE];
    let mut met = Settled::default();
    for (seed, map_type) in (0..).zip(types) {
        for engine in [Engine::Same, Engine::Steps, Engine::Code] {
            if engine == Engine::Code && map_type != T::HASH {
                continue;
            }
            for method in methods(map_type) {
                let mut scene = Scene::new(map_type, engine, seed);
                scene.copy(method);
                // Before the switch; around it; and back.
                let mut passes = vec![(true, false, false), (true, true, false)];
                if engine != Engine::Code {
                    passes.extend([(true, true, true), (true, true, false)]);
                }
                for (pass, (old, new, back)) in passes.into_iter().enumerate() {
                    if old {
                        scene.work(true);
                    }
                    if new {
                        scene.work(false);
                    }
                    let what = format!("{map_type} {engine:?} {method:?}, pass {pass}");
                    let settled = scene.settle(method, back);
                    if back {
                        scene.model.turned();
                    }
                    let wanted = scene.model.settle(is_per_cpu(map_type) && method == Method::Kernel);
                    if back {
                        scene.model.turned();
                    }
                    scene.is_as_the_rule_says(&what);
                    // Programs count each CPU's value.
                    if !is_per_cpu(map_type) || method != Method::Kernel {
                        let Settled { method, inexact, .. } = settled;
                        assert_eq!(settled, Settled { method, inexact, ..wanted }, "{what}");
                        // A word that is no sum is compared and exchanged.
                        let heeds = map_type != T::LPM_TRIE || maplock::internals::sys::tries_heed_noexist();
                        let is_exact = method == Some(Method::Kernel) && has_atomic_fetch() && heeds;
                        assert_eq!(inexact.is_none(), is_exact, "{what}");
                    }
                    met.not_carried += wanted.not_carried;
                    met.maybe_another += wanted.maybe_another;
                    met.inserted += wanted.inserted;
                    met.deleted += wanted.deleted;
                    met.dropped += wanted.dropped;
                    let again = scene.settle(method, back);
                    assert_eq!(
                        again,
                        Settled { method: again.method, inexact: again.inexact, ..Settled::default() },
                        "{what}"
                    );
                    scene.is_as_the_rule_says(&what);
                }
            }
        }
    }
    let Settled { not_carried, maybe_another, inserted, deleted, dropped, .. } = met;
    assert!([not_carried, maybe_another, inserted, deleted, dropped].iter().all(|met| *met > 20), "{met:?}");
}

#[test]
fn what_old_programs_did_before_the_switch_is_in_the_new_map_before_it() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY, T::LPM_TRIE] {
        for method in methods(map_type) {
            let mut scene = Scene::new(map_type, Engine::Same, 7);
            scene.copy(method);
            let transfer = scene.maps.transfer();
            let mut prepared = transfer.prepare(&by(Some(method))).expect("prepared");
            let Scene { maps, .. } = &scene;
            // A key is deleted, one counts, one is made, and one is made anew: new programs see all of it.
            let wanted = |number: u32, value: Value| {
                maps.from.update(&key(&maps.from, number), &on_all_cpus(&maps.from, value), 0)
            };
            wanted(1, Value { wide: 100, ..Value::default() }).expect("room");
            wanted(KEYS - 1, Value { word: 9, ..Value::default() }).expect("room");
            if map_type != T::ARRAY {
                _ = maps.from.delete(&key(&maps.from, 2)).expect("deletable");
            }
            let before = contents(&maps.to).len();
            prepared.catch_up();
            assert!(contents(&maps.to) == contents(&maps.from), "{map_type} {method:?}");
            let grown = contents(&maps.to).len() as i64 - before as i64;
            // And what new programs do then is left alone.
            let mine = on_all_cpus(&maps.to, Value { wide: 1, word: 2, ..Value::default() });
            maps.to.update(&key(&maps.to, 1), &mine, 0).expect("room");
            if map_type != T::ARRAY {
                assert!(maps.to.delete(&key(&maps.to, KEYS - 1)).expect("there"));
            }
            let now = contents(&maps.to);
            let settled = prepared.settle(&mut by(Some(method))).expect("settled");
            let Settled { method: way, inexact, grown_before, .. } = settled;
            assert_eq!(settled, Settled { method: way, inexact, grown_before, ..Settled::default() });
            assert_eq!(grown_before, grown, "{map_type} {method:?}");
            assert!(contents(&maps.to) == now, "{map_type} {method:?}");

            // A deletion in between is found, whether or not keys come in for it.
            if map_type != T::ARRAY {
                prepared.catch_up();
                assert!(maps.from.delete(&key(&maps.from, 1)).expect("there"));
                maps.from.update(&key(&maps.from, 2), &mine, 0).expect("room");
                let settled = prepared.settle(&mut by(Some(method))).expect("settled");
                assert_eq!((settled.kept_new, settled.inserted), (1, 1), "{map_type} {method:?} {settled:?}");
            }
        }
    }
}
