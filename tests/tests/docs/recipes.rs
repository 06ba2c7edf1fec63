//! The image that a job for GitLab runs in, made as the page makes it: the images that it begins from are made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_tests::container::{self, install, podman};

use super::{Place, blocks, toolchain};

/// Where podman keeps the images of this test, and nothing else. It is given back at the end.
struct Storage(tempfile::TempDir);

impl Storage {
    fn options(&self) -> String {
        let at = self.0.path().display();
        format!("--root={at}/root --runroot={at}/run --storage-driver=vfs")
    }

    fn podman(&self) -> Command {
        let mut command = podman();
        command.args(self.options().split(' '));
        command
    }
}

/// What an image of Debian with git and Cargo has, as far as the job needs it.
fn base(storage: &Storage, name: &str) {
    let root = storage.0.path().join("base");
    let find = |program: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().stdout;
        PathBuf::from(String::from_utf8(found).unwrap().trim())
    };
    install(&find("sh"), &root, Path::new("/bin/sh"));
    install(&find("git"), &root, Path::new("/usr/bin/git"));
    // That of the compiler: the other one is rustup's, and starts this.
    install(Path::new(env!("CARGO")), &root, Path::new("/usr/local/cargo/bin/cargo"));
    fs::create_dir_all(root.join("tmp")).unwrap();
    let tar = storage.0.path().join("base.tar");
    toolchain::run(Command::new("tar").arg("--create").arg("--file").arg(&tar).arg("--directory").arg(&root).arg("."));
    let path = "ENV PATH=/usr/local/cargo/bin:/usr/local/bin:/usr/bin:/bin";
    toolchain::run(storage.podman().args(["import", "--quiet", "--change", path]).arg(&tar).arg(name));
}

#[test]
fn the_image_for_gitlab_has_what_its_job_runs() {
    if !container::available() {
        return;
    }
    let all = blocks("docs/ci-recipes.md");
    let file = all.iter().find(|block| block.language == "dockerfile").unwrap();
    let from = file.text.lines().find_map(|line| line.strip_prefix("FROM ")).unwrap();
    let steps = all.iter().find(|block| block.language == "sh").unwrap();
    let [release, unpack, build, push] = steps.text.lines().collect::<Vec<_>>()[..] else { panic!("four steps") };
    let name = build.split(' ').skip_while(|word| *word != "--tag").nth(1).unwrap();
    assert_eq!(push, format!("podman push {name}"));
    let job = all.iter().find(|block| block.language == "yaml" && block.text.contains("script:")).unwrap();
    assert!(job.text.contains(&format!("\n  image: {name}\n")), "{}", job.text);

    // The release takes minutes, and `cli/tests/release.rs` holds what it packs: its programs, under this name.
    let script = release.strip_prefix("../maplock/").and_then(|line| line.strip_suffix(" out")).unwrap();
    assert!(toolchain::root().join(script).is_file(), "{release}");
    let folder = tempfile::tempdir().unwrap();
    let package = concat!("maplock-", env!("CARGO_PKG_VERSION"), "-x86_64-unknown-linux-gnu");
    let (cwd, packed) = (folder.path(), folder.path().join("packed").join(package));
    fs::create_dir_all(&packed).unwrap();
    fs::create_dir(cwd.join("out")).unwrap();
    for program in ["maplock", "cargo-maplock"] {
        let built = toolchain::built("cargo-maplock", program);
        toolchain::run(Command::new("strip").arg("-o").arg(packed.join(program)).arg(built));
    }
    let mut tar = Command::new("tar");
    tar.args(["--create", "--use-compress-program=gzip -1", "--directory"]).arg(cwd.join("packed"));
    toolchain::run(tar.arg("--file").arg(cwd.join(format!("out/{package}.tar.gz"))).arg(package));
    fs::write(cwd.join("Containerfile"), &file.text).unwrap();

    let storage = Storage(tempfile::tempdir().unwrap());
    base(&storage, from);
    let here = Place::new(cwd);
    let succeeds = |line: &str| {
        let said = here.say(&format!("{line} && echo done"));
        assert!(said.ends_with("done\n"), "{line}\n{said}");
    };
    succeeds(unpack);
    let own = format!("podman {} build --quiet --pull=never --network=none ", storage.options());
    succeeds(&build.replace("podman build ", &own));
    // What the job calls, in the shell that GitLab's runner would take.
    let mut run = storage.podman();
    run.args(["run", "--rm", "--network=none", "--pull=never", name, "sh", "-c"]);
    run.arg("git --version && cargo maplock --version && maplock --version");
    let said = String::from_utf8(toolchain::run(&mut run).stdout).unwrap();
    let version = concat!("maplock ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(
        said.starts_with("git version ") && said.contains(&format!("cargo-{version}")) && said.ends_with(version),
        "{said}"
    );
}
