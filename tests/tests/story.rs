//! What the demo leaves behind: nothing.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use maplock_tests::kernel;
use maplock_tests::toolchain::built;
use rustix::process::{Pid, Signal, kill_process};

/// The cgroups whose names begin so, below that of this process, on any mount of cgroup v2.
fn cgroups(beginning: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let roots = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let dirs = roots.map(|line| PathBuf::from(line.split(' ').nth(1).unwrap()).join(&own));
    let entries = dirs.flat_map(|dir| fs::read_dir(dir).into_iter().flatten()).flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning))
        .map(|entry| entry.path())
        .collect()
}

#[test]
fn an_interrupted_story_leaves_nothing_behind() {
    if !kernel::available() {
        return;
    }
    // So that there is a mount on which to look.
    let _cgroup = kernel::Cgroup::new();
    // Others may mount and unmount elsewhere meanwhile.
    let bpffs = || -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.lines().filter(|line| line.contains(" /sys/fs/bpf ")).map(str::to_owned).collect()
    };
    let before = bpffs();
    let mut command = Command::new(built("minimesh", "minimesh"));
    let mut story = command.arg("upgrade").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let name = format!("maplock-harness-{}-", story.id());
    // In the middle of it: v1 is up, the client connects.
    let mut lines = BufReader::new(story.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("connections, 0 failed")));
    assert!(!cgroups(&name).is_empty(), "the story has a cgroup");
    kill_process(Pid::from_child(&story), Signal::INT).unwrap();
    _ = lines.count();
    let output = story.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted; everything is removed"));
    assert_eq!(cgroups(&name), Vec::<PathBuf>::new());
    assert_eq!(bpffs(), before);
}
