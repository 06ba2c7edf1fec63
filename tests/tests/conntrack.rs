//! A conntrack map whose value is laid out anew, whose flags change their bits, and which becomes an LRU hash: the change that Calico made
//! between the second and the fourth version of its map, on structs of that shape. All of the conversion is one epoch of the lock
//! and the `impl` below.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

use maplock::internals::sys::Map;
use maplock::layout::conversion::Answers;
use maplock::layout::lock::OnUpgrade;
use maplock::layout::{Config, Disposition, Lock, Observation, epochs};
use maplock::{Entries, MapKey, MapValue, Migrate, MigrateError, Options, Rollback, Spec};
use maplock_codegen::Inputs;
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::toolchain::{Clang, Order, root};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Shared by both versions. (A build script generates these types from the lock; here they are written out to be seen.)
const HEAD: &str = "#include \"bpf_min.h\"
struct ct_key { __u8 proto; __u8 pad[3]; __be32 addr_a; __be32 addr_b; __u16 port_a; __u16 port_b; };
";

const V2: &str = "struct ct_leg { __u32 packets; __u32 bytes; __u32 seqno; __u8 syn:1, ack:1, fin:1, rst:1; };
struct ct_value { __u64 created; __u64 last_seen; __u8 type; __u8 flags; __u8 pad[6];
    struct ct_leg a_to_b; struct ct_leg b_to_a; __be32 orig_ip; __u16 orig_port; __u8 pad2[2]; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4096); __uint(pinning, LIBBPF_PIN_BY_NAME);
    __type(key, struct ct_key); __type(value, struct ct_value); } conntrack SEC(\".maps\");
";

const V4: &str = "struct ct_leg { __u64 bytes; __u32 packets; __u32 seqno; __u32 state; __u32 ifindex; };
struct ct_value { __u64 rst_seen; __u64 last_seen; __u8 type; __u8 pad; __u16 flags; __be32 orig_ip;
    struct ct_leg a_to_b; struct ct_leg b_to_a; __u16 orig_port; __u8 pad2[6]; };
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 8192); __uint(pinning, LIBBPF_PIN_BY_NAME);
    __type(key, struct ct_key); __type(value, struct ct_value); } conntrack SEC(\".maps\");
";

macro_rules! entry {
    ($($(#[$of:meta])* struct $name:ident { $($field:ident: $ty:ty,)* })*) => {
        $(
            #[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
            #[repr(C)]
            struct $name { $($field: $ty,)* }
            impl MapKey for $name {}
            impl MapValue for $name {}
        )*
    };
}

entry! {
    struct Key { proto: u8, pad: [u8; 3], addr_a: u32, addr_b: u32, ports: [u16; 2], }
    struct OldLeg { packets: u32, bytes: u32, seqno: u32, state: u8, pad: [u8; 3], }
    struct OldValue {
        created: u64, last_seen: u64, kind: u8, flags: u8, pad: [u8; 6], a_to_b: OldLeg, b_to_a: OldLeg, orig_ip: u32,
        orig_port: u16, pad2: [u8; 2],
    }
    struct Leg { bytes: u64, packets: u32, seqno: u32, state: u32, ifindex: u32, }
    struct Value {
        rst_seen: u64, last_seen: u64, kind: u8, pad: u8, flags: u16, orig_ip: u32, a_to_b: Leg, b_to_a: Leg,
        orig_port: u16, pad2: [u8; 6],
    }
}

// impl: from here
impl From<OldLeg> for Leg {
    fn from(OldLeg { packets, bytes, seqno, state, .. }: OldLeg) -> Self {
        Self { bytes: bytes.into(), packets, seqno, state: state.into(), ifindex: 0 }
    }
}

impl Migrate<OldValue> for Value {
    type OldKey = Key;
    type Key = Key;

    fn migrate(key: &Key, old: &OldValue, new: &mut Entries<'_, Key, Self>) -> Result<(), MigrateError> {
        let OldValue { last_seen, kind, flags, orig_ip, orig_port, .. } = *old;
        // Flows that both ends have reset are not carried on.
        if old.a_to_b.state & old.b_to_a.state & 8 != 0 {
            return Ok(());
        }
        // Bit 0 has become bit 8, to make room for the flags of tunnels.
        let flags = u16::from(flags & !1) | u16::from(flags & 1) << 8;
        let (a_to_b, b_to_a) = (old.a_to_b.into(), old.b_to_a.into());
        new.insert(*key, Self { last_seen, kind, flags, orig_ip, orig_port, a_to_b, b_to_a, ..Self::new_zeroed() });
        Ok(())
    }
}
// to here

fn observation(folder: &Path, name: &str, source: &str) -> Option<Observation> {
    let clang = Clang::newest()?;
    let (file, object) = (folder.join(format!("{name}.bpf.c")), folder.join(format!("{name}.o")));
    fs::copy(root().join("bpf/include/bpf_min.h"), folder.join("bpf_min.h")).unwrap();
    fs::write(&file, format!("{HEAD}{source}")).unwrap();
    clang.compile(Order::Little, &file, &object);
    Some(Inputs::read(&[("conntrack".to_owned(), object)], &Config::default()).unwrap().observation)
}

#[test]
fn the_whole_conversion_is_an_epoch_and_an_impl_of_at_most_thirty_lines() {
    let source = fs::read_to_string(root().join("tests/tests/conntrack.rs")).unwrap();
    let from = source.lines().position(|line| line == "// impl: from here").unwrap();
    let to = source.lines().position(|line| line == "// to here").unwrap();
    assert!(to - from - 1 <= 30, "{} lines", to - from - 1);
}

#[test]
fn conntrack_entries_survive_a_new_layout_and_another_map_type() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(old), Some(new)) = (observation(folder.path(), "v2", V2), observation(folder.path(), "v4", V4)) else {
        return;
    };
    if !kernel::available() {
        return;
    }
    let levels = Config::default().levels;
    let first = epochs::update(&Lock::default(), &old, &levels).unwrap();
    let reason = "legs count bytes in 64 bits; the map evicts by itself";
    let lock = epochs::accept(&first, &new, "conntrack", OnUpgrade::Migrate, reason, &levels).unwrap();
    let lock = epochs::convert(&lock, "conntrack", Some(&Answers { by_hand: true, ..Answers::default() })).unwrap();
    let epoch = lock.maps["conntrack"].epochs[0].clone();

    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("calico");
    drop(Options::new(Spec::from(first), &dir).begin().unwrap().stage().unwrap().commit().unwrap());
    let map = Map::open(&dir.join("conntrack")).unwrap();
    let key = |number: u32| Key { proto: 6, pad: [0; 3], addr_a: number, addr_b: !number, ports: [443, number as u16] };
    let leg = |number: u32, state| OldLeg { packets: number, bytes: number * 1000, seqno: 7, state, pad: [0; 3] };
    for number in 0..1000_u32 {
        let state = if number % 10 == 0 { 8 } else { 3 };
        let value = OldValue {
            created: 1,
            last_seen: number.into(),
            kind: 2,
            flags: 0b101,
            pad: [0; 6],
            a_to_b: leg(number, state),
            b_to_a: leg(number + 1, state),
            orig_ip: 9,
            orig_port: 80,
            pad2: [0; 2],
        };
        map.update(key(number).as_bytes(), value.as_bytes(), 0).unwrap();
    }

    // Whoever does not have the code can't convert, and says so before anything happens.
    let without = Options::new(Spec::from(lock.clone()), &dir).begin().unwrap();
    let refused = without.plan().map("conntrack").unwrap();
    assert_eq!(refused.disposition(), Disposition::Refuse);
    assert!(refused.why.contains("is written by hand, and this program does not have it"), "{}", refused.why);
    drop(without);

    let options = Options::new(Spec::from(lock), &dir);
    let options = options.migration::<Value, OldValue>(&epoch.from.to_string(), &epoch.to.to_string());
    let report = options.begin().unwrap().stage().unwrap().commit().unwrap();
    let converted = report.maps.iter().find(|map| map.map == "conntrack").unwrap();
    // How many the code gives up, it alone knows.
    assert_eq!((converted.converted, converted.lost), (1000, None), "{converted:?}");

    let map = Map::open(&dir.join("conntrack")).unwrap();
    assert_eq!(map.info().map_type, maplock::layout::map::MapType::LRU_HASH);
    for number in 0..1000_u32 {
        let there = map.lookup(key(number).as_bytes()).unwrap();
        if number % 10 == 0 {
            assert_eq!(there, None, "{number}: it was reset");
            continue;
        }
        let value = Value::read_from_bytes(&there.unwrap()).unwrap();
        let legs = [value.a_to_b, value.b_to_a].map(|leg| (leg.bytes, leg.packets, leg.state));
        let [a, b] = [number, number + 1].map(|number| (u64::from(number) * 1000, number, 3));
        assert_eq!(
            (value.last_seen, value.kind, value.flags, value.orig_port),
            (number.into(), 2, 0x104, 80),
            "{number}"
        );
        assert_eq!(legs, [a, b], "{number}");
    }

    // No way leads back from code: the old map returns as it was left, whole.
    Rollback::new(&dir).run().unwrap();
    let map = Map::open(&dir.join("conntrack")).unwrap();
    assert_eq!(map.info().map_type, maplock::layout::map::MapType::HASH);
    assert_eq!(maplock::internals::transfer::count(&map, std::time::Duration::from_secs(60)), Some(1000));
}
