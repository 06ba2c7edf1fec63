//! `maps.lock` as text: what is written, what is read, and what is said where it can't be.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use maplock_layout::Lock;
use maplock_layout::config::Levels;
use maplock_layout::epochs::{accept, update};
use maplock_layout::layout::{Composite, CompositeKind, Enumeration, Layout, Member, Shape};
use maplock_layout::lock::{LockProblem, LockedMap, OnUpgrade, line_of};
use maplock_layout::map::{MapDef, MapType, Pinning};
use proptest::prelude::*;
use support::{diff, lines, lock, map, map_of, observed};

const FLOW_KEY: &str = "
    struct in6_addr { union { u8 bytes[16]; u32 words[4]; } u; };
    struct flow_key { union { u32 v4; struct in6_addr v6; }; u16 port; u8 proto; u8 pad; };
";

const FLOW: &str = "
    enum verdict { DROP = -1, PASS, VERDICT_MAX };
    typedef u32 be32;
    struct counter { u64 packets; u64 bytes; };
    struct flow {
        struct counter stats[2];
        enum verdict verdict;
        be32 source;
        u32 seen:3;
        u32 closed:1;
        char name[4][8];
        struct task *owner;
        double ratio;
        bool live;
        struct { u16 high; u16 low; } port;
    };
";

/// A lock with everything in it that a lock can say.
fn everything() -> Lock {
    let mut flows = map_of(FLOW_KEY, FLOW);
    flows.name = "flows".to_owned();
    (flows.map_type, flows.flags, flows.map_extra, flows.numa_node) = (MapType::LRU_HASH, 0x6, u64::MAX, 1);

    let mut inner = map("u64");
    (inner.map_type, inner.pinning) = (MapType::ARRAY, Pinning::None);
    let mut outer = MapDef::new("my map", MapType::HASH_OF_MAPS);
    (outer.key_size, outer.value_size, outer.max_entries) = (4, 4, 8);
    (outer.key, outer.inner, outer.pinning) = (inner.key.clone(), Some(Box::new(inner)), Pinning::Other(16));

    let mut events = MapDef::new("events", MapType(99));
    events.max_entries = 4096;

    let old = lock([map("struct v { u32 hits; };"), flows, outer, events]);
    let mut small = map("struct v { u64 hits; };");
    small.max_entries = 64;
    let after = observed(old.maps.values().map(|map| map.def.clone()).chain([small]));
    let reason = "byte counters to 64 bits:\n\"wrapped\"";
    let mut after = accept(&old, &after, "m", OnUpgrade::Migrate, reason, &Levels::default()).unwrap();
    after.maps.get_mut("events").unwrap().ephemeral = true;
    after
}

#[test]
fn a_lock_with_everything_in_it_is_written_one_fact_a_line() {
    let lock = everything();
    let text = lock.to_string();
    assert_eq!(text, EVERYTHING, "\n{text}");
    let again = Lock::parse(&text).unwrap();
    assert_eq!(again.to_string(), text);
    assert_eq!(lines(&diff(&lock, &again)), [""; 0]);
    for (name, map) in &lock.maps {
        assert_eq!(again.maps[name].def.digest(), map.def.digest(), "{name}");
        assert!(again.maps[name].same_definition(map), "{name}");
        assert_eq!(again.maps[name].epochs.len(), map.epochs.len());
    }
    let (read, written) = (&again.maps["m"].epochs[0], &lock.maps["m"].epochs[0]);
    assert_eq!(
        (read.from, read.to, &read.rules, read.on_upgrade),
        (written.from, written.to, &written.rules, written.on_upgrade)
    );
    assert_eq!((&read.reason, read.max_entries), (&written.reason, Some(64)));
}

const EVERYTHING: &str = r#"
"#;
