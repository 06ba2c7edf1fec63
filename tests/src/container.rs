//! Images and containers, by podman. `deploy/containers.conf` says what it is to do otherwise than by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::toolchain::{self, root, run};

/// What an upgrade of a generation that maplock made needs.
pub const CAPABILITIES: [&str; 3] = ["BPF", "NET_ADMIN", "PERFMON"];

/// Where podman's configuration for the tests is, from the repository's root.
const CONFIG: &str = "deploy/containers.conf";

/// True where there are containers. Where not, it says that the test is skipped.
///
/// # Panics
/// Where there are none and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn available() -> bool {
    let available = toolchain::has("podman") && toolchain::has("runc");
    if !available {
        toolchain::skip("podman and runc (.ci/packages has the names)");
    }
    available
}

/// podman, as the tests configure it.
#[must_use]
pub fn podman() -> Command {
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", root().join(CONFIG));
    command
}

/// Makes the image of `deploy/Containerfile`: minimesh and maplock of this tree, and a lock. Further programs have their paths in it.
///
/// # Panics
/// Where something of that does not build.
pub fn build(image: &str, lock: &str, further: &[&Path]) {
    let context = tempfile::tempdir().expect("a temporary directory");
    let into = context.path().join("root");
    let file = into.join("etc/minimesh/maps.lock");
    fs::create_dir_all(file.parent().expect("it has a folder")).expect("a folder");
    fs::write(&file, lock).expect("a file");
    let (minimesh, maplock) = (toolchain::built("minimesh", "minimesh"), toolchain::built("cargo-maplock", "maplock"));
    install(&minimesh, &into, Path::new("/usr/bin/minimesh"));
    install(&maplock, &into, Path::new("/usr/bin/maplock"));
    for program in further {
        install(program, &into, program);
    }
    build_in(context.path(), image, &root().join("deploy/Containerfile"));
}

/// Makes an image that is another one but for its lock.
///
/// # Panics
/// Where that does not build.
pub fn with_lock(image: &str, of: &str, lock: &str) {
    let context = tempfile::tempdir().expect("a temporary directory");
    let file = context.path().join("Containerfile");
    fs::write(&file, format!("FROM {of}\nCOPY maps.lock /etc/minimesh/maps.lock\n")).expect("a file");
    fs::write(context.path().join("maps.lock"), lock).expect("a file");
    build_in(context.path(), image, &file);
}

fn build_in(context: &Path, image: &str, file: &Path) {
    // One that had the name would stay without one.
    _ = podman().args(["image", "rm", "--force", image]).output();
    run(podman().args(["build", "--quiet", "--pull=never", "--tag", image, "--file"]).arg(file).arg(context));
}

/// Copies a program below `root`, with the libraries that it is linked to.
///
/// # Panics
/// Where something of that can't be read or written.
pub fn install(program: &Path, root: &Path, at: &Path) {
    let copy = |from: &Path, at: &Path| {
        let to = root.join(at.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(to.parent().expect("it has a folder")).expect("a folder");
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    copy(program, at);
    for library in libraries(program) {
        copy(&library, &library);
    }
}

/// Those that ldd(1) tells, the loader too; none of a program that is linked statically.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd (libc-bin)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

/// A command that runs a program in a container, as the manifest does: with [`CAPABILITIES`] and no others, the root read-only, under
/// `deploy/seccomp.json`. It has no network of its own, and sees the directories at the paths that they have here; options and the image
/// are the caller's to add.
#[must_use]
pub fn container(shown: &[&Path]) -> Command {
    with(&CAPABILITIES, Some(&root().join("deploy/seccomp.json")), shown)
}

/// [`container`], with these capabilities, and under another seccomp profile; the runtime's own without one.
#[must_use]
pub fn with(capabilities: &[&str], profile: Option<&Path>, shown: &[&Path]) -> Command {
    let mut command = podman();
    command.args(["run", "--rm", "--pull=never", "--network=host", "--read-only", "--cap-drop=ALL"]);
    command.arg(format!("--cap-add={}", capabilities.join(",")));
    if let Some(profile) = profile {
        command.arg(format!("--security-opt=seccomp={}", profile.display()));
    }
    for dir in shown {
        command.arg(format!("--volume={0}:{0}", dir.display()));
    }
    command
}
