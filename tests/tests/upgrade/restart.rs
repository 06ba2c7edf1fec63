//! The same release starts again: the generation that is kept is still the way back.

use std::fs;
use std::path::Path;

use maplock::internals::meta::Meta;
use maplock::internals::sys::bpffs::Dir;
use maplock_tests::generations::{Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::traffic::Traffic;
use maplock_tests::truth::{self, beside};

fn generation(dir: &Path) -> u64 {
    Meta::read(&Dir::at(dir)).expect("it can be read").expect("it is there").generation
}

/// One that is upgraded and started again: exchanged, pin by pin, and in a directory that somebody else uses too.
fn in_each_way(then: impl Fn(&Daemon, &Traffic)) {
    if !kernel::available() {
        return;
    }
    for (each_pin, is_shared) in [(false, false), (true, false), (false, true)] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
        let daemon = Daemon { each_pin, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
        Traffic::drive(&cgroup, |traffic| {
            let mut still = traffic.hold();
            // What was made before there was a program is in no map.
            *still = 0;
            daemon.start(Release::One).expect("it is installed");
            if is_shared {
                fs::create_dir(daemon.dir.join("neighbour")).expect("made");
            }
            daemon.start(Release::Two).expect("it is upgraded");
            drop(still);
            traffic.wait_for_some();
            for _ in 0..2 {
                daemon.start(Release::Two).expect("it is started again");
                traffic.wait_for_some();
            }
            then(&daemon, traffic);
        });
        assert!(!is_shared || daemon.dir.join("neighbour").exists());
    }
}

#[test]
fn a_roll_back_after_restarts_leads_to_the_release_before_with_every_count() {
    in_each_way(|daemon, traffic| {
        let problems = truth::problems(daemon, Release::Two, *traffic.hold());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert_eq!((generation(&daemon.dir), generation(&beside(&daemon.dir, "prev"))), (4, 1));
        roll_back(&daemon.dir).expect("back");
        traffic.wait_for_some();
        let problems = truth::problems(daemon, Release::One, *traffic.hold());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        // The daemon that runs then starts again, and a second roll-back undoes the first all the same.
        daemon.start(Release::One).expect("it is started again");
        traffic.wait_for_some();
        roll_back(&daemon.dir).expect("back again");
        traffic.wait_for_some();
        let problems = truth::problems(daemon, Release::Two, *traffic.hold());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

#[test]
fn a_downgrade_after_restarts_takes_up_the_kept_maps_with_every_count() {
    in_each_way(|daemon, traffic| {
        daemon.start(Release::One).expect("it is downgraded");
        traffic.wait_for_some();
        let problems = truth::problems(daemon, Release::One, *traffic.hold());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}
