//! What `ci/release` packs: all but the build of the programs and the image, which take minutes.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use support::{Ran, Sandbox, repository};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The script, over programs that stand for those of this build: these have tens of megabytes.
fn release(sandbox: &Sandbox, out: &str) -> Ran {
    for (name, path) in
        [("maplock", env!("CARGO_BIN_EXE_maplock")), ("cargo-maplock", env!("CARGO_BIN_EXE_cargo-maplock"))]
    {
        sandbox.write(&format!("programs/{name}"), format!("#!/bin/bash\nexec -a {name} {path} \"$@\"\n"));
        let program = sandbox.path(&format!("programs/{name}"));
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let mut command = support::tool_at(repository().join("ci/release"));
    command.arg(sandbox.path(out)).arg("--binaries").arg(sandbox.path("programs"));
    // What is packed has a time of its own.
    command.env("SOURCE_DATE_EPOCH", "1700000000").env("CARGO_NET_OFFLINE", "true");
    let ran = sandbox.ran(command);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran
}

fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().expect("it runs");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_release_is_whole_and_the_same_each_time() {
    if std::env::consts::ARCH != "x86_64" {
        println!("skipped: needs an x86_64");
        return;
    }
    let sandbox = Sandbox::new();
    let name = format!("maplock-{}-{TARGET}", env!("CARGO_PKG_VERSION"));
    let ran = release(&sandbox, "one");
    assert!(ran.stdout.lines().any(|line| line == format!("{name}.tar.gz")), "{}", ran.stdout);
    // The programs that were named are those of one target.
    assert!(!ran.stdout.contains("not built") && !ran.stdout.contains("aarch64"), "{}", ran.stdout);
    release(&sandbox, "two");
    assert_eq!(sandbox.read("one/SHA256SUMS"), sandbox.read("two/SHA256SUMS"));
    run(&sandbox.path("one"), "sha256sum", &["--check", "--quiet", "SHA256SUMS"]);

    let listed = run(
        &sandbox.path("one"),
        "tar",
        &["--list", "--verbose", "--numeric-owner", "--file", &format!("{name}.tar.gz")],
    );
    assert!(listed.lines().all(|line| line.contains(" 0/0 ") && line.contains(" 2023-11-14 ")), "{listed}");
    run(&sandbox.path("one"), "tar", &["--extract", "--file", &format!("{name}.tar.gz")]);
    let file = |path: &str| sandbox.read(&format!("one/{name}/{path}"));
    for path in [
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "man/man1/maplock-rollback.1",
        "man/man1/cargo-maplock-check.1",
    ] {
        assert!(!file(path).is_empty(), "{path}");
    }
    for program in ["maplock", "cargo-maplock"] {
        for path in [format!("{program}.bash"), format!("_{program}"), format!("{program}.fish")] {
            assert!(file(&format!("completions/{path}")).contains(program), "{path}");
        }
        let version = run(&sandbox.path(&format!("one/{name}")), &format!("./{program}"), &["--version"]);
        assert_eq!(version, format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
    }
    let licences = file("LICENSES-THIRD-PARTY");
    for wanted in
        ["  clap v4.", "  serde_json v1.", ": MIT OR Apache-2.0", "GNU C Library", "Permission is hereby granted"]
    {
        assert!(licences.contains(wanted), "{wanted}");
    }
    // What builds and tests alone use is no part of the programs, nor is anything of ours a third party's.
    assert!(!licences.contains("  insta v") && !licences.contains("  maplock"), "{licences}");
}

/// The script, with a cargo in place of the real one: what it "builds" are this build's own programs, which ask for a loader.
#[test]
fn programs_that_are_not_static_are_not_packed() {
    if std::env::consts::ARCH != "x86_64" {
        println!("skipped: needs an x86_64");
        return;
    }
    let sandbox = Sandbox::new();
    let built = sandbox.path(&format!("target/{TARGET}/release"));
    fs::create_dir_all(&built).expect("a directory");
    for (name, path) in
        [("maplock", env!("CARGO_BIN_EXE_maplock")), ("cargo-maplock", env!("CARGO_BIN_EXE_cargo-maplock"))]
    {
        std::os::unix::fs::symlink(path, built.join(name)).expect("a link");
    }
    let target = sandbox.path("target");
    sandbox.write(
        "bin/cargo",
        format!("#!/bin/sh\n[ $1 != metadata ] || echo '{{\"target_directory\": \"{}\"}}'\n", target.display()),
    );
    fs::set_permissions(sandbox.path("bin/cargo"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = support::tool_at(repository().join("ci/release"));
    let path = std::env::var("PATH").expect("a path");
    command.arg(sandbox.path("out")).env("PATH", format!("{}:{path}", sandbox.path("bin").display()));
    let ran = sandbox.ran(command);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.ends_with("/maplock is not static\n"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(sandbox.path("out")).expect("a directory").count(), 0);
}
