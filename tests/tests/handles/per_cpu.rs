//! Maps with a value for each CPU.

use maplock::handles::{Handle as _, HashMap, PerCpu, PerCpuArray, PerCpuHashMap, Verified};
use maplock::internals::sys::{possible_cpu_numbers, possible_cpus};
use maplock::layout::map::MapType as T;
use maplock::layout::{MapDef, map};
use maplock_tests::kernel;

use crate::support::{new, spec_of};

/// Values of 12 bytes take 16 in what the kernel hands out.
type Value = [u32; 3];

fn of_cpu(cpu: u32) -> Value {
    [cpu, cpu * 10, u32::MAX]
}

#[test]
fn each_cpu_has_its_own_value() {
    if !kernel::available() {
        return;
    }
    let cpus = possible_cpu_numbers().expect("the kernel tells");
    for map_type in [T::PERCPU_HASH, T::LRU_PERCPU_HASH] {
        let map: PerCpuHashMap<u32, Value> = new(map_type, 4, 12, 1000);
        assert_eq!(map.get(1).expect("looked up"), None);
        let values = PerCpu::from_fn(of_cpu).expect("CPUs");
        map.insert(1, &values).expect("inserted");
        let found = map.get(1).expect("looked up").expect("just inserted");
        assert_eq!(found, values);
        assert!(found.iter().map(|(cpu, value)| (cpu, *value)).eq(cpus.iter().map(|cpu| (*cpu, of_cpu(*cpu)))));
        assert_eq!(found[cpus[0]], of_cpu(cpus[0]));
        assert_eq!(found.get(u32::MAX), None);
        let sum: u32 = found.values().map(|value| value[1]).sum();
        assert_eq!(sum, cpus.iter().map(|cpu| cpu * 10).sum::<u32>());
        assert!(map.insert_new(2, PerCpu::filled([7; 3]).expect("CPUs")).expect("inserted"));
        let count = map.insert_batch((10..200).map(|key| (key, PerCpu::filled([key; 3]).expect("CPUs"))));
        assert_eq!(count.expect("inserted"), 190);
        for entry in &map {
            let (key, values) = entry.expect("read");
            let expected = match key {
                1 => PerCpu::from_fn(of_cpu),
                2 => PerCpu::filled([7; 3]),
                key => PerCpu::filled([key; 3]),
            };
            assert_eq!(values, expected.expect("CPUs"), "{key}");
        }
        assert_eq!(map.count().expect("counted"), 192);
        assert_eq!(map.take(1).expect("taken"), Some(values));
        assert_eq!(map.remove_batch(10..200).expect("removed"), 190);
        assert_eq!(map.keys().collect::<Result<Vec<_>, _>>().expect("read"), [2]);
    }
}

#[test]
fn an_array_has_a_value_for_each_cpu_at_each_index() {
    if !kernel::available() {
        return;
    }
    let map: PerCpuArray<Value> = new(T::PERCPU_ARRAY, 4, 12, 300);
    let mut values = map.get(5).expect("read").expect("within the array");
    assert_eq!(values, PerCpu::filled([0; 3]).expect("CPUs"));
    values[0][1] += 3;
    map.set(5, &values).expect("written");
    assert_eq!(map.get(5).expect("read"), Some(values.clone()));
    assert_eq!(map.get(300).expect("read"), None);
    let all: Vec<_> = map.iter().collect::<Result<_, _>>().expect("read");
    assert_eq!(all.len(), 300);
    assert_eq!(all[5], (5, values));
    assert_eq!(all[6].1, PerCpu::filled([0; 3]).expect("CPUs"));
}

#[test]
fn a_handle_of_another_kind_does_not_fit() {
    if !kernel::available() {
        return;
    }
    let refuses = |map_type: map::MapType, wanted: &str| {
        let of = new::<maplock::handles::Opaque>(map_type, 4, 12, 10);
        let def = MapDef { key_size: 4, value_size: 12, max_entries: 10, ..MapDef::new("m", map_type) };
        let verified = || Verified::of_fd(&spec_of(def.clone()), "m", &of).expect("as declared");
        let error = HashMap::<u32, Value>::from_verified(verified()).expect_err("another kind").to_string();
        assert_eq!(error, format!("map `m` can't be used as a `HashMap`: {wanted}"));
        verified()
    };
    refuses(T::ARRAY, "it is of type array");
    let verified = refuses(T::PERCPU_HASH, "it has a value for each CPU, being a percpu_hash");
    let error = PerCpuHashMap::<u32, u64>::from_verified(verified).expect_err("another size").to_string();
    assert_eq!(error, "map `m` can't be used as a `HashMap`: its value has 12 bytes, and the value's type 8");
    assert!(possible_cpus().expect("the kernel tells") > 0);
}
