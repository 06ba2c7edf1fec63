//! A downgrade to the generation that is kept, whose map has another layout: what was written since is converted back.

use maplock::internals::sys::Map;
use maplock_tests::generations::{self, Daemon, Release};
use maplock_tests::kernel::{self, Bpffs, Cgroup};

#[test]
fn what_the_newer_release_wrote_is_converted_back_by_a_downgrade() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon { keeps_larger: true, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
    let open = || Map::open(&daemon.dir.join(daemon.map("wide"))).expect("a pin");
    daemon.start(Release::One).expect("it is installed");
    daemon.start(Release::Two).expect("it is upgraded");
    let (counted, new) = (5_u32.to_ne_bytes(), 1_000_u32);
    let wide = open();
    let value = |more: u64, n: u64| [more.to_ne_bytes(), n.to_ne_bytes()].concat();
    wide.update(&counted, &value(70_005, 4_000), 0).expect("it is there");
    wide.update(&new.to_ne_bytes(), &generations::wide(Release::Two, new, 0), 0).expect("room");
    daemon.start(Release::One).expect("it is downgraded");
    let wide = open();
    let narrow = |n: u32, more: u32| Some([n.to_ne_bytes(), more.to_ne_bytes()].concat());
    assert_eq!(wide.lookup(&counted).expect("a map"), narrow(4_000, 70_005), "a value that was changed");
    assert_eq!(wide.lookup(&new.to_ne_bytes()).expect("a map"), narrow(3_000, 71_000), "a key that was added");
    let untouched = generations::wide(Release::One, 6, 0);
    assert_eq!(wide.lookup(&6_u32.to_ne_bytes()).expect("a map"), Some(untouched));
}
