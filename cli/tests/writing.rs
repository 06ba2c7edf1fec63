//! A lock is always a whole one, whoever writes it and however that ends.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use support::Sandbox;

const V1: &str = "bpf/minimesh/v1/minimesh.bpf.o";
const V2: &str = "bpf/minimesh/v2/minimesh.bpf.o";
const V3: &str = "bpf/minimesh/v3/minimesh.bpf.o";

fn released() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    assert_eq!(sandbox.run(&format!("init --object {V1}")).code, Some(0));
    sandbox
}

fn leftovers(sandbox: &Sandbox) -> usize {
    let entries = fs::read_dir(sandbox.path("")).expect("directory").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".maps.lock.")).count()
}

#[test]
fn concurrent_updates_leave_one_whole_lock() {
    let sandbox = released();
    let old = sandbox.read("maps.lock");
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                seen.insert(sandbox.read("maps.lock"));
            }
            seen
        });
        for _ in 0..5 {
            sandbox.write("maps.lock.next", &old);
            fs::rename(sandbox.path("maps.lock.next"), sandbox.path("maps.lock")).expect("rename");
            let spawn = |_| {
                sandbox.command(&format!("update --object {V2}")).stdout(Stdio::null()).spawn().expect("the tool runs")
            };
            let mut children: Vec<_> = (0..12).map(spawn).collect();
            for child in &mut children {
                assert_eq!(child.wait().expect("it ends").code(), Some(0));
            }
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("it reads")
    });
    let new = sandbox.read("maps.lock");
    assert_ne!(old, new);
    assert!(seen.is_subset(&BTreeSet::from([old, new])), "{seen:#?}");
    assert_eq!(leftovers(&sandbox), 0);
}

#[test]
fn nothing_is_lost_between_concurrent_writers() {
    let sandbox = released();
    let v4 = support::object("v4");
    // Each reads what the other wrote, or one of the two epochs would be gone.
    for _ in 0..10 {
        let accept = |map: &str| {
            let line = format!("accept {map} --on-upgrade swap --reason \"by {map}\" --object {v4}");
            sandbox.command(&line).stdout(Stdio::null()).spawn().expect("the tool runs")
        };
        let mut children = [accept("stats"), accept("backends")];
        for child in &mut children {
            assert_eq!(child.wait().expect("it ends").code(), Some(0));
        }
        let lock = sandbox.read("maps.lock");
        assert!(lock.contains("\"by stats\"") && lock.contains("\"by backends\""), "{lock}");
        assert_eq!(sandbox.run("accept stats backends --undo").code, Some(0));
    }
}

#[cfg(unix)]
#[test]
fn an_update_that_is_killed_leaves_the_old_lock_or_the_new_one() {
    let sandbox = released();
    let old = sandbox.read("maps.lock");
    let started = Instant::now();
    assert_eq!(sandbox.run(&format!("update --object {V2}")).code, Some(0));
    let whole = started.elapsed();
    let new = sandbox.read("maps.lock");
    let mut ends = BTreeSet::new();
    // Later and later, until it has ended before it is killed: then again and again, for the machine is not always as fast.
    let (mut step, mut ended) = (0, 0);
    while ended < 20 {
        sandbox.write("maps.lock", &old);
        let mut command = sandbox.command(&format!("update --object {V2}"));
        let mut child = command.stdout(Stdio::null()).spawn().expect("the tool runs");
        thread::sleep(whole * step / 40);
        child.kill().expect("SIGKILL");
        ended += u32::from(child.wait().expect("it ends").success());
        let text = sandbox.read("maps.lock");
        assert!(text == old || text == new, "after {step}: {text}");
        ends.insert(text == new);
        step += 1;
    }
    assert_eq!(ends.len(), 2, "killed both before and after the file was replaced");
    sandbox.write("maps.lock", &old);
    assert_eq!(sandbox.run(&format!("update --object {V2}")).code, Some(0));
    assert_eq!(leftovers(&sandbox), 0, "what the killed ones left is gone");
}

#[test]
fn a_refused_update_leaves_no_trace() {
    let sandbox = released();
    let old = sandbox.read("maps.lock");
    assert_eq!(sandbox.run(&format!("update --object {V3}")).code, Some(100));
    assert_eq!((sandbox.read("maps.lock"), leftovers(&sandbox)), (old, 0));
}
