//! A daemon's library, which has no `unsafe` anywhere.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, rustdoc::all, clippy::all, clippy::pedantic, clippy::panic, clippy::unwrap_used)]

use std::path::Path;

use flowtop::{FlowKey, FlowStats, Peer, Seen, Verdict, previous};
use maplock::handles::{LpmKey, PerCpu};
use maplock::{Entries, Migrate, MigrateError};

maplock::include_maps!("flowtop");

impl Migrate<previous::vCOUNTS::Value> for u64 {
    type OldKey = previous::vCOUNTS::Key;
    type Key = flowtop::counts::Key;

    fn migrate(
        key: &u32,
        old: &previous::vCOUNTS::Value,
        new: &mut Entries<'_, u32, Self>,
    ) -> Result<(), MigrateError> {
        new.insert(*key, old.0.into());
        Ok(())
    }
}

impl Migrate<previous::vFLOWS::Value> for FlowStats {
    type OldKey = flowtop::flows::Key;
    type Key = flowtop::flows::Key;

    fn migrate(
        key: &FlowKey,
        old: &previous::vFLOWS::FlowStats,
        new: &mut Entries<'_, FlowKey, Self>,
    ) -> Result<(), MigrateError> {
        if old.packets == 0x00ff_ffff {
            return Err("a count that must not be".into());
        }
        new.insert(*key, Self { packets: u64::from(old.packets), ..Self::default() });
        Ok(())
    }
}

/// Writes and reads an entry of each map.
///
/// # Errors
/// Where one can't be.
///
/// # Panics
/// Where one is not what was written.
pub fn run(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let staged = flowtop::upgrade(dir).begin()?.stage()?;
    let maps = flowtop::Maps::of(&staged)?;
    let key = FlowKey { addr: 1, port: 2, protocol: 6, ..FlowKey::default() };
    let mut stats = FlowStats { packets: 3, verdict: Verdict::DROP, peer: Peer::of_v4(0x0a00_0001), ..FlowStats::default() };
    stats.set_last(5);
    maps.flows().insert(key, stats)?;
    let mut seen = PerCpu::filled(Seen { at: 7, who: 8 })?;
    seen[0].who = 9;
    maps.seen().set(1, &seen)?;
    staged.commit()?;

    let maps = flowtop::Maps::open(dir)?;
    assert_eq!(maps.flows().get(key)?, Some(stats));
    assert_eq!((stats.peer.v4(), stats.peer.v6()[..4].len(), stats.last(), stats.first()), (0x0a00_0001, 4, 5, 0));
    println!("{key:?}\n{stats:?}");
    assert_eq!(maps.seen().get(1)?, Some(seen));
    maps.counts().insert(1, u64::MAX)?;
    maps.routes().insert(LpmKey::new(8, [10, 0, 0, 0]), [1; 4])?;
    assert_eq!(maps.routes().get(LpmKey::new(32, [10, 1, 1, 1]))?, Some([1; 4]));
    maps.open_().push(key)?;
    assert_eq!(maps.open_().pop()?, Some(key));
    assert_eq!(maps.events().consumer()?.next()?, None);

    let counts = flowtop::counts::open(dir.join("counts"))?;
    assert_eq!(counts.get(1)?, Some(u64::MAX));
    let again = flowtop::counts::of_fd(&counts)?;
    assert_eq!(again.count()?, 1);
    let wrong = flowtop::counts::open(dir.join("flows"));
    println!("{}", wrong.err().map(|error| error.to_string()).unwrap_or_default());
    Ok(())
}
