//! What the fuzz targets hold any input against.
#![allow(missing_docs)]

pub mod build;

use std::sync::Arc;

use maplock_layout::btf::{Btf, Resolver, encode};
use maplock_layout::config::Levels;
use maplock_layout::lock::Lines;
use maplock_layout::map::{MapDef, MapType};
use maplock_layout::{Layout, Lock, compare, rules};

/// What is true of every lock, wherever it came from.
pub fn check_lock(lock: &Lock) {
    let text = lock.to_string();
    let again = Lock::parse(&text).unwrap_or_else(|error| panic!("the text of a lock does not parse: {error}\n{text}"));
    assert_eq!(again.to_string(), text, "a lock changes by being written and read");
    for (name, map) in &lock.maps {
        assert_eq!(again.maps[name].def.digest(), map.def.digest(), "map {name:?}\n{text}");
    }
    for findings in
        [compare(lock, lock, &Levels::default()).findings, compare(lock, &again, &Levels::default()).findings]
    {
        for finding in findings {
            assert_eq!(finding.rule, &rules::STALE_EPOCH, "a lock differs from itself: {finding:?}\n{text}");
        }
    }
    let lines = Lines::of(&text);
    for name in lock.maps.keys() {
        let line = lines.find(name, &format!("{name}.value"));
        let line = line.unwrap_or_else(|| panic!("no line for map {name:?}\n{text}"));
        assert!((1..=text.lines().count()).contains(&line), "line {line} of map {name:?}\n{text}");
    }
}

/// What is true of every layout that can be written as BTF.
pub fn check_encoded(layout: &Arc<Layout>) {
    let Ok(encoded) = encode(None, Some(layout)) else { return };
    let btf = Btf::parse(&encoded.bytes).unwrap_or_else(|error| panic!("{error}: {layout:?}"));
    let again = Resolver::new(&btf).resolve(encoded.value_type_id);
    let again = again.unwrap_or_else(|error| panic!("{error}: {layout:?}"));
    let digest = |layout: &Arc<Layout>| {
        let mut def = MapDef::new("m", MapType::HASH);
        def.value = Some(Arc::clone(layout));
        def.digest()
    };
    assert_eq!(digest(&again), digest(layout), "{layout:?} is read back as {again:?}");
}

/// What is true of every two locks.
pub fn check_pair(old: &Lock, new: &Lock) {
    let comparison = compare(old, new, &Levels::default());
    let (old_text, new_text) = (old.to_string(), new.to_string());
    for finding in &comparison.findings {
        if let Some(cause) = &finding.consequence_of {
            assert!(
                comparison.findings.iter().any(|other| other.subject == *cause && other.consequence_of.is_none()),
                "the cause of {finding:?} is not reported"
            );
        }
    }
    // Each parses the text anew: a few will do.
    for finding in comparison.findings.iter().take(3) {
        for (lock, text) in [(old, &old_text), (new, &new_text)] {
            if lock.maps.contains_key(&finding.map) {
                assert!(Lines::of(text).find(&finding.map, &finding.path()).is_some(), "no line for {finding:?}\n{text}");
            }
        }
    }
    for verdict in &comparison.maps {
        if let (Some(from), Some(to)) = (verdict.from, verdict.to) {
            assert!(
                from == to || comparison.of_map(&verdict.map).next().is_some(),
                "another digest, and no finding\n{old_text}\n{new_text}"
            );
        }
    }
}
