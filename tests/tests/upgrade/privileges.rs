//! What a daemon may lack, and what it is told where it lacks something: each capability taken away, from root and from another user.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};

use maplock::internals::sys::Map;
use maplock_tests::generations::{self, Daemon, FILLED, Release};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::{toolchain, truth};

/// What an upgrade of a generation that maplock made needs.
const ENOUGH: [&str; 3] = ["bpf", "net_admin", "perfmon"];

/// Whoever that is, it is neither root nor nobody.
const SOMEBODY: u32 = 4711;

/// Runs a command with no capabilities but these: as root, or as another user, who gets them as ambient ones.
fn with_only(capabilities: &[&str], user: u32, command: &Command) -> Output {
    let list = |sign: &str| {
        let named = capabilities.iter().map(|name| format!("+{name}"));
        std::iter::once(sign.to_owned()).chain(named).collect::<Vec<_>>().join(",")
    };
    let mut under = Command::new("setpriv");
    if user != 0 {
        under.args(["--clear-groups".to_owned(), format!("--reuid={user}"), format!("--regid={user}")]);
        under.args([format!("--inh-caps={}", list("-all")), format!("--ambient-caps={}", list("-all"))]);
    } else {
        under.args(["--inh-caps=-all", &format!("--bounding-set={}", list("-all"))]);
    }
    under.arg(command.get_program()).args(command.get_args()).output().expect("setpriv runs")
}

/// A daemon of release one, with its pins in a directory that belongs to `user`.
fn daemon(bpffs: &Bpffs, cgroup: &Cgroup, user: u32) -> Daemon {
    let parent = bpffs.dir("of");
    fs::set_permissions(bpffs.path(), fs::Permissions::from_mode(0o711)).expect("the root of the mount");
    let daemon = Daemon::new(parent.join("daemon"), cgroup);
    daemon.start(Release::One).expect("it is installed");
    for dir in [&parent, &daemon.dir] {
        chown(dir, Some(user), Some(user)).expect("root may");
    }
    for name in truth::names(&daemon.dir) {
        std::os::unix::fs::lchown(daemon.dir.join(name), Some(user), Some(user)).expect("root may");
    }
    daemon
}

fn start(daemon: &Daemon, release: &str, capabilities: &[&str], user: u32) -> Result<(), String> {
    let output = with_only(capabilities, user, &daemon.command(env!("CARGO_BIN_EXE_generation"), release));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn a_generation_that_maplock_made_is_upgraded_and_restarted_without_sys_admin() {
    if !kernel::available() {
        return;
    }
    for user in [0, SOMEBODY] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let daemon = daemon(&bpffs, &cgroup, user);
        // Restarted, upgraded, restarted; then by who may read all.
        for release in ["one", "two", "two", "two"] {
            start(&daemon, release, &ENOUGH, user).unwrap_or_else(|said| panic!("user {user}, {release}: {said}"));
        }
        let problems = truth::problems(&daemon, Release::Two, 0);
        assert!(problems.is_empty(), "user {user}: {}", problems.join("\n"));
        daemon.start(Release::Two).expect("what it left is whole");
        let problems = truth::problems(&daemon, Release::Two, 0);
        assert!(problems.is_empty(), "user {user}: {}", problems.join("\n"));
    }
}

/// The layout of `wide` is one that only the newer release's lock knows, and nothing but its BTF and that lock tell it.
#[test]
fn an_older_release_converts_back_without_sys_admin() {
    if !kernel::available() {
        return;
    }
    for (user, is_kept) in [(0, true), (0, false), (SOMEBODY, true), (SOMEBODY, false)] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let daemon = daemon(&bpffs, &cgroup, user);
        let failed = |said: String| -> () { panic!("user {user}, kept: {is_kept}: {said}") };
        start(&daemon, "two", &ENOUGH, user).unwrap_or_else(failed);
        if !is_kept {
            // Nothing but a conversion by the newer release's lock leads back.
            fs::remove_file(truth::beside(&daemon.dir, "prev").join(daemon.map("wide"))).expect("it is kept");
        }
        start(&daemon, "one", &ENOUGH, user).unwrap_or_else(failed);
        let wide = Map::open(&daemon.dir.join(daemon.map("wide"))).expect("it is pinned");
        for key in 0..FILLED {
            let value = wide.lookup(&key.to_ne_bytes()).expect("the kernel tells");
            assert_eq!(value, Some(generations::wide(Release::One, key, 0)), "user {user}, kept: {is_kept}, key {key}");
        }
    }
}

#[test]
fn each_capability_that_is_missing_is_named_or_not_needed() {
    if !kernel::available() {
        return;
    }
    for user in [0, SOMEBODY] {
        for dropped in ENOUGH {
            let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
            let daemon = daemon(&bpffs, &cgroup, user);
            let left: Vec<_> = ENOUGH.into_iter().filter(|name| *name != dropped).collect();
            let started = start(&daemon, "two", &left, user);
            if dropped == "perfmon" {
                if let Err(said) = &started
                    && said.contains("can't load the program")
                {
                    // Older verifiers refuse what this daemon counts with, too.
                    assert!(said.contains("CAP_PERFMON"), "user {user}: {said}");
                    assert_eq!(truth::problems(&daemon, Release::One, 0), Vec::<String>::new(), "user {user}");
                    toolchain::skip("a verifier that takes programs that count without CAP_PERFMON");
                    continue;
                }
                started.unwrap_or_else(|said| panic!("user {user}: copies go by system calls: {said}"));
                let problems = truth::problems(&daemon, Release::Two, 0);
                assert!(problems.is_empty(), "user {user}: {}", problems.join("\n"));
                continue;
            }
            let said = started.expect_err(dropped);
            if dropped == "bpf" {
                let named = format!(
                    "this process, of user {user}, lacks CAP_BPF (to make and open maps, and to load programs), CAP_SYS_ADMIN"
                );
                assert!(said.contains(&named), "{said}");
            }
            let name = format!("CAP_{}", dropped.to_uppercase());
            assert!(said.contains(&name), "user {user}: {said}");
            let problems = truth::problems(&daemon, Release::One, 0);
            assert!(problems.is_empty(), "user {user} without {dropped}: {}", problems.join("\n"));
        }
    }
}

/// The pins are another program's, so that nothing but their BTF tells what they are.
#[test]
fn pins_of_others_without_sys_admin_are_refused_for_that_and_no_policy_decides() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = daemon(&bpffs, &cgroup, 0);
    fs::remove_file(daemon.dir.join("maplock_meta")).expect("it is there");
    let said = start(&daemon, "two", &ENOUGH, 0).expect_err("nothing tells");
    assert!(said.contains("is refused: reading its BTF, id "), "{said}");
    assert!(said.contains(", needs CAP_SYS_ADMIN; this process, of user 0, lacks CAP_SYS_ADMIN"), "{said}");
    assert!(!said.contains("nothing tells"), "{said}");
    assert!(!Path::new(&format!("{}@next", daemon.dir.display())).exists());
}

/// Where the kernel counts maps against it. Where not, a low one keeps nobody from anything.
#[test]
fn a_limit_on_memory_that_can_not_be_raised_is_named() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = daemon(&bpffs, &cgroup, 0);
    let command = daemon.command(env!("CARGO_BIN_EXE_generation"), "two");
    let mut limited = Command::new("prlimit");
    // It may be raised, and not far enough.
    limited.arg("--memlock=4096:8192").arg(command.get_program()).args(command.get_args());
    let output = with_only(&ENOUGH, 0, &limited);
    let said = String::from_utf8_lossy(&output.stderr);
    // A function of those that count.
    let counts = kernel::has_function("bpf_map_charge_init");
    assert!(output.status.success() || counts != Some(false), "{said}");
    if !output.status.success() {
        assert!(said.contains("count against RLIMIT_MEMLOCK, which is 8 KiB here: raise it"), "{said}");
        assert!(!said.contains("lacks CAP_SYS_ADMIN"), "{said}");
    }
    assert!(counts != Some(true) || !output.status.success(), "the limit was not reached");
}
