//! What `maplock_tests::kernel` makes is there, is its own, and is gone afterwards.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;

use maplock::internals::sys::{Map, NewMap, bpffs};
use maplock::layout::map::MapType;
use maplock_tests::kernel::{self, Bpffs, Cgroup, Netns};

#[test]
fn a_bpffs_is_mounted_and_gone_after_a_panic() {
    if !kernel::available() {
        return;
    }
    let mut path = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let bpffs = Bpffs::mount();
        path = Some(bpffs.path().to_owned());
        let dir = bpffs.dir("app");
        Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).unwrap().pin(&dir.join("counts")).unwrap();
        assert!(bpffs::is_bpffs(&bpffs::Dir::at(&dir)).unwrap());
        panic!("as a test that fails");
    }));
    let path = path.unwrap();
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"as a test that fails"));
    assert!(!path.exists());
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(path.to_str().unwrap()));
}

#[test]
fn a_command_starts_inside_the_cgroup_and_is_killed_with_it() {
    if !kernel::available() {
        return;
    }
    let cgroup = Cgroup::new();
    let name = cgroup.path().file_name().unwrap().to_str().unwrap().to_owned();
    let output = cgroup.command("cat").arg("/proc/self/cgroup").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(&name));

    let mut child = cgroup.command("sh");
    let mut child =
        child.args(["-c", "echo inside && cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "inside\n");
    let path = cgroup.path().to_owned();
    drop(cgroup);
    assert!(!child.wait().unwrap().success());
    assert!(!path.exists());
}

#[test]
fn a_thread_runs_inside_a_threaded_cgroup() {
    if !kernel::available() {
        return;
    }
    let cgroup = Cgroup::threaded();
    let name = cgroup.path().file_name().unwrap().to_str().unwrap().to_owned();
    let own = || fs::read_to_string("/proc/thread-self/cgroup").unwrap();
    assert!(cgroup.run(own).contains(&name));
    assert!(!own().contains(&name));
    let path = cgroup.path().to_owned();
    drop(cgroup);
    assert!(!path.exists());
}

#[test]
fn a_network_namespace_has_a_loopback_and_devices_of_its_own() {
    if !kernel::available() {
        return;
    }
    let netns = Netns::new();
    let port = netns.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        port
    });
    assert_ne!(port, 0);
    let (one, other) = netns.veth("one", "other");
    assert_ne!(one, other);
    let links = netns.ip("-o link");
    assert_eq!(links.lines().count(), 3, "{links}");
    assert!(!Netns::new().ip("-o link").contains("other"));
}
