//! A settlement that is killed at any point, and run again.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use maplock::internals::sys::Map;
use maplock::internals::transfer::{Method, Sum, Transfer};
use maplock_tests::kernel;

use crate::support::*;

/// Ids of the maps that a child is to settle: `from`, `to`, `base` (0 where there is none).
const CHILD: &str = "MAPLOCK_TEST_SETTLES";
const TEST: &str = "killed::a_settlement_that_is_killed_and_run_again_is_exact";
const SUMS: [Sum; 1] = [Sum { offset: 0, width: 8, signed: false }];
const READY: &str = "ready";
const ENTRIES: u32 = 8_000;

fn settle_as_child(ids: &str) {
    let mut ids = ids.split(',').map(|id| id.parse::<u32>().expect("an id"));
    let mut map = || ids.next().filter(|id| *id != 0).map(|id| Map::from_id(id).expect("a map"));
    let (from, to, base) = (map().expect("given"), map().expect("given"), map());
    // What takes long the first time is not what is to be killed: it reads the kernel's BTF.
    _ = maplock::internals::transfer::count(&from, Duration::ZERO);
    println!("{READY}");
    let transfer = Transfer { from: &from, to: &to, base: base.as_ref(), sums: &SUMS };
    transfer.settle(&mut by(Some(Method::Kernel))).expect("settled");
}

/// The counter of each entry, added up over CPUs.
fn counts(map: &Map) -> std::collections::BTreeMap<Vec<u8>, u64> {
    let part = part(map);
    let sum = |value: Vec<u8>| {
        value
            .chunks(part)
            .fold(0_u64, |sum, part| sum.wrapping_add(u64::from_ne_bytes(part[..8].try_into().expect("8"))))
    };
    contents(map).into_iter().map(|(key, value)| (key, sum(value))).collect()
}

#[test]
fn a_settlement_that_is_killed_and_run_again_is_exact() {
    if let Ok(ids) = std::env::var(CHILD) {
        return settle_as_child(&ids);
    }
    if !can_run() {
        return;
    }
    let mut half_done = 0;
    // In short, each type once.
    for (round, map_type) in (0..kernel::times(50, 7)).zip(COPIED.into_iter().cycle()) {
        if !has_programs(map_type) {
            continue;
        }
        let maps = Maps::new(map_type, if round % 2 == 0 { 8 } else { 24 }, ENTRIES, &SUMS);
        maps.copy(None).expect("copied");
        // New programs counted already.
        for (key, mut value) in contents(&maps.to) {
            for part in value.chunks_mut(part(&maps.to)) {
                let count = u64::from_ne_bytes(part[..8].try_into().expect("8"));
                part[..8].copy_from_slice(&count.wrapping_add(5).to_ne_bytes());
            }
            maps.to.update(&key, &value, 0).expect("there");
        }
        // Old programs changed every third since the copy.
        for number in (0..ENTRIES).step_by(3) {
            let key = key(&maps.from, number);
            maps.from.update(&key, &value(&maps.from, number + 1), 0).expect("there");
        }
        let before = contents(&maps.from);
        let added =
            5 * if is_per_cpu(map_type) { maplock::internals::sys::possible_cpus().expect("sysfs").into() } else { 1 };
        let wanted: Vec<_> = counts(&maps.from).into_iter().map(|(key, sum)| (key, sum.wrapping_add(added))).collect();
        let id = |map: &Map| map.info().id;
        let ids = format!("{},{},{}", id(&maps.from), id(&maps.to), maps.base.as_ref().map_or(0, id));
        for attempt in 0..2 {
            let mut child = Command::new(std::env::current_exe().expect("this test"))
                .args([TEST, "--exact", "--nocapture"])
                .env(CHILD, &ids)
                .stdout(Stdio::piped())
                .spawn()
                .expect("a child");
            let mut output = BufReader::new(child.stdout.take().expect("piped"));
            assert!(output.by_ref().lines().any(|line| line.expect("text").contains(READY)), "the child settles");
            // At a different point each time, mostly before it is done.
            let until = Duration::from_micros(u64::from((round * 7919 + attempt * 104_729) % 20_000));
            std::thread::sleep(until);
            child.kill().expect("our child");
            child.wait().expect("our child");
            let (from, to) = (counts(&maps.from), counts(&maps.to));
            let base = counts(maps.base.as_ref().expect("a snapshot"));
            let is_left = from.iter().filter(|(key, count)| base.get(*key) != Some(*count)).count();
            half_done += u32::from(is_left > 0 && is_left < ENTRIES as usize / 3 * 9 / 10);
            let sum = |key: &Vec<u8>| from[key].wrapping_sub(base[key]).wrapping_add(to[key]);
            for (key, count) in &wanted {
                assert_eq!(sum(key), *count, "round {round}: {map_type} {key:?} after a kill");
            }
            if is_left == 0 {
                break;
            }
        }
        maps.settle(Some(Method::Kernel));
        let settled: Vec<_> = counts(&maps.to).into_iter().collect();
        assert!(settled == wanted, "round {round}: {map_type}");
        // And all other bytes are the old programs'.
        for (key, value) in contents(&maps.to) {
            let old = &before[&key];
            for (new, old) in value.chunks(part(&maps.to)).zip(old.chunks(part(&maps.to))) {
                assert_eq!(new[8..], old[8..], "round {round}: {map_type} {key:?}");
            }
        }
    }
    println!("{half_done} kills left a settlement half done");
}
