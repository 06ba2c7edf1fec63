//! `minimesh ready`, the probe of the manifest.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use maplock_tests::kernel::{self, Bpffs, Cgroup};

use crate::{maplock, minimesh, said};

/// Starts a daemon, and waits until it serves.
fn serve(release: &str, pins: &Path, cgroup: &Cgroup, ready: &Path) -> Child {
    let mut command = Command::new(minimesh());
    command.args(["daemon", "--release", release, "--cgroup"]).arg(cgroup.path());
    command.arg("--pins").arg(pins).arg("--ready").arg(ready);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(" serves ")), "{release} did not come up");
    child
}

#[test]
fn a_daemon_is_ready_once_it_has_committed_and_stays_so_after_a_roll_back() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup, folder) = (Bpffs::mount(), Cgroup::new(), tempfile::tempdir().unwrap());
    let pins = bpffs.path().join("minimesh");
    let file = |name: &str| folder.path().join(name);
    let ready = |name: &str| {
        let output =
            Command::new(minimesh()).args(["ready", "--pins"]).arg(&pins).arg("--file").arg(file(name)).output();
        let output = output.unwrap();
        if output.status.success() { Ok(said(&output)) } else { Err(said(&output)) }
    };
    let not_yet = Err("error: the daemon has not committed yet\n".to_owned());
    let serves = |generation: u64| Ok(format!("generation {generation} serves\n"));

    assert_eq!(ready("old"), not_yet);
    let mut old = serve("v1", &pins, &cgroup, &file("old"));
    assert_eq!(ready("old"), serves(1));
    assert_eq!(ready("new"), not_yet, "the old one serves, and that is not the new one");
    let mut new = serve("v2", &pins, &cgroup, &file("new"));
    assert_eq!([ready("old"), ready("new")], [serves(2), serves(2)]);
    let output = Command::new(maplock()).arg("rollback").arg(&pins).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(ready("new"), serves(1), "its node serves");

    old.kill().unwrap();
    old.wait().unwrap();
    assert_eq!(ready("old"), not_yet, "the file is there, and its daemon is gone");
    std::fs::remove_file(pins.join("connect4")).unwrap();
    assert_eq!(ready("new"), Err(format!("error: no link is pinned as {}/connect4\n", pins.display())));
    new.kill().unwrap();
    new.wait().unwrap();
}
