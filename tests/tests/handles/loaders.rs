//! The same map by aya and libbpf-rs.

use libbpf_rs::{MapCore as _, MapFlags};
use maplock::handles::{Handle as _, HashMap, Verified};
use maplock::layout::MapDef;
use maplock::layout::map::MapType;
use maplock_tests::kernel;

use crate::support::{new, spec_of};

#[test]
fn aya_and_libbpf_use_the_same_map() {
    if !kernel::available() {
        return;
    }
    let map: HashMap<u32, u64> = new(MapType::HASH, 4, 8, 16);
    map.insert(1, 10).expect("inserted");

    let by_aya = aya::maps::Map::from_map_data(map.to_aya().expect("aya takes it")).expect("aya knows the type");
    let mut by_aya = aya::maps::HashMap::<_, u32, u64>::try_from(by_aya).expect("of that type");
    assert_eq!(by_aya.get(&1, 0).expect("looked up"), 10);
    by_aya.insert(2, 20, 0).expect("inserted");
    assert_eq!(map.get(2).expect("looked up"), Some(20));

    let by_libbpf = map.to_libbpf().expect("libbpf-rs takes it");
    let value = by_libbpf.lookup(&2_u32.to_ne_bytes(), MapFlags::ANY).expect("looked up");
    assert_eq!(value, Some(20_u64.to_ne_bytes().to_vec()));
    by_libbpf.update(&3_u32.to_ne_bytes(), &30_u64.to_ne_bytes(), MapFlags::ANY).expect("inserted");
    assert_eq!(map.get(3).expect("looked up"), Some(30));

    // And back: a handle of what they have opened.
    let def = MapDef { key_size: 4, value_size: 8, max_entries: 16, ..MapDef::new("m", MapType::HASH) };
    let of_libbpf = Verified::of_fd(&spec_of(def), "m", &by_libbpf).expect("as declared");
    let of_libbpf = HashMap::<u32, u64>::from_verified(of_libbpf).expect("the types fit");
    assert_eq!(of_libbpf.count().expect("counted"), 3);
}
