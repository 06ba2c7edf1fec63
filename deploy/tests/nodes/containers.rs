//! The daemon in a container: what it may lack, and what it sees of the node.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use maplock_tests::container::{self, CAPABILITIES, container, podman};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::toolchain::{root, run};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::{maplock, minimesh, said};

/// Whoever that is, it is neither root nor nobody.
const SOMEBODY: u32 = 4711;

/// The image, made once; `None` where there are no containers.
pub(crate) fn image() -> Option<&'static str> {
    const NAME: &str = "localhost/minimesh:test";
    static MADE: OnceLock<()> = OnceLock::new();
    if !kernel::available() || !container::available() {
        return None;
    }
    MADE.get_or_init(|| {
        let lock = fs::read_to_string(root().join("minimesh/releases/v2.lock")).unwrap();
        container::build(NAME, &lock, &[Path::new("/usr/bin/mount")]);
    });
    Some(NAME)
}

/// Adds the daemon of a release, which ends after its upgrade.
fn daemon(mut container: Command, image: &str, release: &str, cgroup: &Path, pins: &Path) -> Output {
    container.args([image, "minimesh", "daemon", "--once", "--release", release]);
    container.arg("--cgroup").arg(cgroup).arg("--pins").arg(pins).output().unwrap()
}

#[test]
fn each_capability_that_a_container_lacks_is_named_and_the_three_are_enough() {
    let Some(image) = image() else { return };
    let profile = root().join("deploy/seccomp.json");
    for user in [0, SOMEBODY] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let parent = bpffs.dir("of");
        chown(&parent, Some(user), Some(user)).unwrap();
        fs::set_permissions(bpffs.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let start = |capabilities: &[&str]| {
            let mut command = container::with(capabilities, Some(&profile), &[bpffs.path(), cgroup.path()]);
            command.arg(format!("--user={user}:{user}"));
            daemon(command, image, "v1", cgroup.path(), &parent.join("minimesh"))
        };
        for dropped in CAPABILITIES {
            let left: Vec<_> = CAPABILITIES.into_iter().filter(|name| *name != dropped).collect();
            let output = start(&left);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = said.lines().next().unwrap_or_default();
            assert!(!output.status.success(), "user {user} without {dropped}");
            assert!(line.contains(&format!("this process, of user {user}, lacks ")), "{said}");
            assert!(line.contains(&format!("CAP_{dropped}")), "user {user} without {dropped}: {said}");
        }
        let output = start(&CAPABILITIES);
        assert!(output.status.success(), "user {user}: {}", said(&output));
    }
}

#[test]
fn a_seccomp_filter_that_denies_bpf_is_named() {
    let Some(image) = image() else { return };
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let folder = tempfile::tempdir().unwrap();
    let denies = folder.path().join("seccomp.json");
    let profile = fs::read_to_string(root().join("deploy/seccomp.json")).unwrap();
    assert!(profile.contains("\"bpf\""));
    fs::write(&denies, profile.replace("\"bpf\"", "\"uname\"")).unwrap();
    let start = |profile: Option<&Path>| {
        let command = container::with(&CAPABILITIES, profile, &[bpffs.path(), cgroup.path()]);
        daemon(command, image, "v1", cgroup.path(), &bpffs.path().join("minimesh"))
    };
    let named = "a seccomp filter denies bpf(2) to this process, though it has CAP_BPF";
    let output = start(Some(&denies));
    assert!(!output.status.success() && said(&output).contains(named), "{}", said(&output));
    // The runtime's own: which it is hangs on the version.
    let output = start(None);
    assert!(output.status.success() || said(&output).contains(named), "{}", said(&output));
    let tool = container::with(&CAPABILITIES, Some(&denies), &[bpffs.path()])
        .args([image, "maplock", "plan", "--lock=/etc/minimesh/maps.lock", "--pins"])
        .arg(bpffs.path().join("minimesh"))
        .output()
        .unwrap();
    let help = "help: in a container, let `securityContext.seccompProfile` name a profile in which CAP_BPF is enough for bpf(2)";
    assert!(output.status.success() == said(&tool).contains(help), "{}", said(&tool));
}

#[test]
fn what_a_container_does_not_see_as_it_should_is_told() {
    let Some(image) = image() else { return };
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let pins = bpffs.path().join("minimesh");
    let failed = |command: Command, cgroup: &Path, pins: &Path| {
        let output = daemon(command, image, "v1", cgroup, pins);
        assert!(!output.status.success(), "{}", said(&output));
        said(&output)
    };
    let mut read_only = container(&[cgroup.path()]);
    read_only.arg(format!("--volume={0}:{0}:ro", bpffs.path().display()));
    let told = failed(read_only, cgroup.path(), &pins);
    assert!(told.contains("; the bpffs is mounted read-only here: mount it writable"), "{told}");

    let told = failed(container(&[cgroup.path()]), cgroup.path(), Path::new("/sys/fs/bpf/minimesh"));
    assert!(told.contains("`/sys/fs/bpf` is not on a bpffs; mount one: mount -t bpf bpf /sys/fs/bpf"), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let told = failed(container(&[bpffs.path(), folder.path()]), folder.path(), &pins);
    let none = "it is no cgroup, and programs are attached to those of version 2 (mount -t cgroup2)";
    assert!(told.contains(&format!("{}: {none}", folder.path().display())), "{told}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let v1 = mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [_, at, "cgroup", ..] => Some(at),
        _ => None,
    });
    // Not every machine has one still.
    if let Some(v1) = v1 {
        let told = failed(container(&[bpffs.path(), Path::new(v1)]), Path::new(v1), &pins);
        assert!(told.contains(&format!("{v1}: it is a cgroup of version 1, and programs are")), "{told}");
    }
}

/// Removes a container, however the test ends.
struct Running(String);

impl Running {
    fn start(mut container: Command) -> Self {
        Self(String::from_utf8(run(&mut container).stdout).unwrap().trim().to_owned())
    }

    fn exec(&self, words: &[&str]) -> Output {
        podman().args(["exec", &self.0]).args(words).output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = podman().args(["rm", "--force", "--time=0", &self.0]).output();
    }
}

#[test]
fn a_mount_of_the_pins_themselves_is_upgraded_once_and_then_refused() {
    let Some(image) = image() else { return };
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let pins = bpffs.path().join("minimesh");
    let here = |release: &str| {
        let mut command = Command::new(minimesh());
        command.args(["daemon", "--once", "--release", release, "--cgroup"]).arg(cgroup.path());
        let output = command.arg("--pins").arg(&pins).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    here("v1");
    let output = daemon(container(&[&pins, cgroup.path()]), image, "v2", cgroup.path(), &pins);
    assert!(output.status.success(), "pin by pin: {}", said(&output));
    let mut watches = container(&[&pins, cgroup.path()]);
    watches.args(["--detach", image, "maplock", "watch"]).arg(&pins);
    let watches = Running::start(watches);
    // From beside the container, which goes on to see what is there no more.
    here("v3");
    let plan = ["maplock", "plan", "--lock=/etc/minimesh/maps.lock", "--pins", pins.to_str().unwrap()];
    let output = watches.exec(&plan);
    assert_eq!(output.status.code(), Some(101), "{}", said(&output));
    assert!(said(&output).contains("shows a generation that is not live"), "{}", said(&output));
}

/// A directory that is mounted so that mounts below it are passed on.
struct Shared(tempfile::TempDir);

impl Shared {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        mount_change(dir.path(), MountPropagationFlags::SHARED).unwrap();
        Self(dir)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        _ = unmount(self.0.path().join("bpf"), UnmountFlags::DETACH);
        _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn a_bpffs_that_one_container_mounts_is_that_of_the_node_and_of_other_containers() {
    let Some(image) = image() else { return };
    let (shared, cgroup) = (Shared::new(), Cgroup::new());
    let dir = shared.0.path().display().to_string();
    let bpffs = shared.0.path().join("bpf");
    let pins = bpffs.join("minimesh");
    fs::create_dir(&bpffs).unwrap();
    // `HostToContainer`, and there before the mount.
    let mut other = container(&[cgroup.path()]);
    other.arg(format!("--volume={dir}:{dir}:rslave")).args(["--detach", image, "maplock", "watch"]).arg(&pins);
    let other = Running::start(other);

    // `Bidirectional`, which takes a privileged container.
    let mut mounts = podman();
    mounts.args(["run", "--rm", "--pull=never", "--network=host", "--privileged"]);
    mounts.arg(format!("--volume={dir}:{dir}:rshared")).args([image, "mount", "-t", "bpf", "bpf"]).arg(&bpffs);
    run(&mut mounts);
    let output = Command::new(minimesh())
        .args(["daemon", "--once", "--release", "v1", "--cgroup"])
        .arg(cgroup.path())
        .arg("--pins")
        .arg(&pins)
        .output()
        .unwrap();
    assert!(output.status.success(), "the mount is the node's, and outlives its container: {}", said(&output));
    let output = other.exec(&[
        "minimesh",
        "daemon",
        "--once",
        "--release",
        "v2",
        "--cgroup",
        cgroup.path().to_str().unwrap(),
        "--pins",
        pins.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let output = Command::new(maplock()).arg("inspect").arg(&pins).output().unwrap();
    assert!(said(&output).lines().next().unwrap().ends_with("generation 2"), "{}", said(&output));
}
