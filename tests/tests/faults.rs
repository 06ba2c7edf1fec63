//! Each system call fails once, with an error that the kernel could well say: the upgrade then succeeds another way, or fails and
//! says what it tried, and the live generation is exactly as before. And what really goes wrong on a node.
//!
//! Of several errors a call gets one, and the next call of its kind another one. What varies an upgrade has every third call fail, and
//! every fifth where several generations are kept. With `MAPLOCK_EVERY_CALL=1`, which takes some eight times as long, each call fails,
//! with each error.
#![cfg(target_arch = "x86_64")]

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::{env, slice, thread};

use maplock::ErrorKind;
use maplock::internals::sys::{Link, Map, NewLink, NewProg, Prog};
use maplock_tests::generations::{COUNTED, Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::trace::{self, Call, Fate};
use maplock_tests::traffic::Traffic;
use maplock_tests::truth::{self, Pins};
use nix::errno::Errno;
use nix::libc;

/// True where each call is to fail, with each error.
static EVERY: LazyLock<bool> = LazyLock::new(|| env::var_os("MAPLOCK_EVERY_CALL").is_some());

/// The errors that a call is to get, each in a run of its own.
fn errors_of(call: &Call) -> &'static [Errno] {
    let errors = plausible(call);
    if *EVERY || errors.is_empty() { errors } else { slice::from_ref(&errors[call.index % errors.len()]) }
}

/// What the kernel could well say to a call, by bpf(2)'s command or the call's number. One error for those that only look.
fn plausible(call: &Call) -> &'static [Errno] {
    use Errno as E;
    if call.is_bpf() {
        return match call.first {
            // A map, BTF.
            0 => &[E::EPERM, E::ENOMEM, E::E2BIG, E::EINVAL],
            18 => &[E::EPERM, E::ENOMEM, E::EINVAL],
            // Lookup, update, delete, next key, and batches.
            1 | 3 | 4 | 24 => &[E::ENOMEM],
            2 | 26 => &[E::E2BIG, E::ENOMEM, E::EBUSY],
            // A program, a test run.
            5 => &[E::EPERM, E::EINVAL, E::ENOMEM],
            10 => &[E::EINVAL, E::ENOMEM],
            // Pin, open a pin.
            6 => &[E::EPERM, E::ENOSPC, E::EEXIST],
            7 => &[E::EACCES],
            // By id, information.
            13 | 14 | 19 | 30 => &[E::EPERM],
            15 => &[E::EFAULT],
            22 => &[E::EBUSY, E::EPERM],
            // Links: create, update, detach; iterators.
            28 => &[E::EPERM, E::EBUSY, E::E2BIG],
            29 => &[E::EPERM, E::EINVAL, E::ENOMEM],
            33 | 34 => &[E::EPERM, E::ENOMEM],
            _ => &[E::EPERM],
        };
    }
    match call.number {
        libc::SYS_mkdir
        | libc::SYS_mkdirat
        | libc::SYS_symlink
        | libc::SYS_symlinkat
        | libc::SYS_link
        | libc::SYS_linkat => &[E::EACCES, E::ENOSPC, E::EEXIST],
        libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => &[E::EACCES, E::ENOSPC, E::EEXIST, E::EINVAL],
        libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => &[E::EACCES, E::EBUSY],
        libc::SYS_membarrier => &[E::ENOSYS, E::EINVAL],
        libc::SYS_flock => &[E::EINTR, E::ENOLCK],
        // Each call on a pin begins with one, so that a quarter of them is as good as all.
        libc::SYS_open | libc::SYS_openat if !call.index.is_multiple_of(4) => &[],
        libc::SYS_newfstatat if !call.index.is_multiple_of(4) => &[],
        libc::SYS_open | libc::SYS_openat => &[E::EMFILE],
        libc::SYS_getdents64 | libc::SYS_readlink | libc::SYS_readlinkat | libc::SYS_statx | libc::SYS_newfstatat => {
            &[E::EACCES]
        }
        libc::SYS_read if call.is_iteration => &[E::ENOMEM, E::EINTR, E::EAGAIN],
        _ => &[],
    }
}

const BPF_LINK_UPDATE: u64 = 29;

/// What became of the calls that failed.
#[derive(Debug, Default)]
struct Outcomes {
    faults: AtomicUsize,
    /// The upgrade went another way.
    done_anyway: AtomicUsize,
    /// It failed, and nothing had happened.
    as_before: AtomicUsize,
    /// It failed after its commit, and the next start completed it.
    completed_later: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

/// What a call fails in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Upgrade,
    UpgradeByPin,
    /// The same release again, which leaves the generation that is kept.
    Restart,
    RestartByPin,
    RollBack,
    /// Two generations are kept, of which the older one goes.
    Third,
    ThirdByPin,
    /// The second of two kept generations is returned to.
    TwoBack,
    /// And left again.
    Forth,
}

impl What {
    fn is_by_pin(self) -> bool {
        matches!(self, Self::UpgradeByPin | Self::RestartByPin | Self::ThirdByPin)
    }

    fn is_roll_back(self) -> bool {
        matches!(self, Self::RollBack | Self::TwoBack | Self::Forth)
    }

    /// The releases that are started before, how many generations are kept, and how often it is rolled back.
    fn before(self) -> (&'static [Release], usize, usize) {
        const THREE: [Release; 3] = [Release::One, Release::Two, Release::One];
        match self {
            Self::Upgrade | Self::UpgradeByPin => (&THREE[..1], 1, 0),
            Self::Restart | Self::RestartByPin | Self::RollBack => (&THREE[..2], 1, 0),
            Self::Third | Self::ThirdByPin => (&THREE, 2, 0),
            Self::TwoBack => (&THREE, 2, 1),
            Self::Forth => (&THREE, 2, 2),
        }
    }

    /// The word that does it, and the release that runs then.
    fn goal(self) -> (&'static str, Release) {
        match self {
            Self::RollBack | Self::TwoBack => ("rollback", Release::One),
            Self::Forth => ("rollback", Release::Two),
            _ => ("two", Release::Two),
        }
    }

    /// From one fault to the next.
    fn stride(self) -> usize {
        let stride = match self {
            Self::Upgrade => 1,
            _ if *EVERY => 1,
            _ if self.before().1 > 1 => 5,
            _ => 3,
        };
        kernel::times(stride, 29) as usize
    }

    fn is_restart(self) -> bool {
        matches!(self, Self::Restart | Self::RestartByPin)
    }
}

fn each_call_fails_once(what: What) -> Outcomes {
    let (next, outcomes) = (AtomicUsize::new(0), Outcomes::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
                Traffic::drive(&cgroup, |traffic| {
                    loop {
                        let point = next.fetch_add(what.stride(), Ordering::Relaxed);
                        let mut daemon = Daemon::new(bpffs.path().join(format!("case{point}")), &cgroup);
                        (daemon.each_pin, daemon.keep) = (what.is_by_pin(), what.before().1);
                        let Some((call, error)) = fails_at(what, point, &daemon, traffic, &outcomes) else { break };
                        outcomes.faults.fetch_add(1, Ordering::Relaxed);
                        if let Some(left) = truth::cleared(&daemon) {
                            outcomes
                                .wrong
                                .lock()
                                .expect("no panic")
                                .push(format!("{point}, {call:?}, {error}: {left}"));
                        }
                    }
                });
            });
        }
    });
    outcomes
}

/// Lets the fault of that number happen, the errors of each call counted one after the other. `None` where there are not so many.
fn fails_at(
    what: What,
    point: usize,
    daemon: &Daemon,
    traffic: &Traffic,
    outcomes: &Outcomes,
) -> Option<(Call, Errno)> {
    let still = traffic.hold();
    let ((releases, _, roll_backs), (word, goal)) = (what.before(), what.goal());
    for release in releases {
        daemon.start(*release).unwrap_or_else(|error| panic!("{error}"));
    }
    for _ in 0..roll_backs {
        roll_back(&daemon.dir).unwrap_or_else(|error| panic!("{error}"));
    }
    let beside = || truth::kept(&daemon.dir);
    let kept_before = beside();
    let again = || match what {
        _ if what.is_roll_back() => roll_back(&daemon.dir).map(drop).map_err(|error| error.to_string()),
        _ => daemon.start(Release::Two).map(drop).map_err(|error| error.to_string()),
    };
    let start = *still;
    drop(still);
    traffic.wait_for_some();
    let still = traffic.hold();
    trace::wait_for_starts();
    let before = Pins::read(&daemon.dir);

    let mut passed = 0;
    let mut failed = None;
    // Until the first link is switched, it is the same whichever way the pins will go.
    let mut is_counted = !daemon.each_pin;
    let mut command = daemon.command(env!("CARGO_BIN_EXE_generation"), word);
    let ended = trace::run(command.arg("traced"), |call| {
        is_counted |= call.is_bpf() && call.first == BPF_LINK_UPDATE;
        let errors = if is_counted { errors_of(&call) } else { &[] };
        passed += errors.len();
        match errors.get((point + errors.len()).wrapping_sub(passed)) {
            Some(error) if failed.is_none() && passed > point => {
                failed = Some((call, *error));
                Fate::Fails(*error)
            }
            _ => Fate::Made,
        }
    });
    let Some((call, error)) = failed else {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        _ = truth::cleared(daemon);
        return None;
    };

    let mut wrong = Vec::new();
    let after = Pins::read(&daemon.dir);
    let is_clean = !truth::beside(&daemon.dir, "next").exists() && beside() == kept_before;
    let is_mute = !ended.stderr.contains("can't") && !ended.stderr.contains('`');
    let count = match ended.code {
        Some(0) => {
            drop(still);
            traffic.wait_for_some();
            let still = traffic.hold();
            wrong.extend(truth::problems(daemon, goal, *still - start));
            &outcomes.done_anyway
        }
        Some(1) if is_mute => {
            wrong.push("the error does not say what was tried".to_owned());
            &outcomes.as_before
        }
        Some(1) if after == before && is_clean => {
            drop(still);
            // Its programs go on counting, and nothing keeps the next start from being an upgrade.
            traffic.wait_for_some();
            if point.is_multiple_of(4) || what.is_roll_back() {
                wrong.extend(again().err());
                traffic.wait_for_some();
                let still = traffic.hold();
                wrong.extend(truth::problems(daemon, goal, *still - start));
            }
            &outcomes.as_before
        }
        Some(1) if ended.stderr.contains("the next start") => {
            drop(still);
            traffic.wait_for_some();
            match again() {
                Ok(_) => {
                    traffic.wait_for_some();
                    let still = traffic.hold();
                    wrong.extend(truth::problems(daemon, goal, *still - start));
                }
                Err(error) => wrong.push(format!("the next start says: {error}")),
            }
            &outcomes.completed_later
        }
        _ => {
            let names = truth::names(daemon.dir.parent().expect("a mount"));
            wrong.push(format!("neither done nor as before: {names:?}, {}", after.difference(&before)));
            &outcomes.as_before
        }
    };
    count.fetch_add(1, Ordering::Relaxed);
    if what.before().1 > 1 && wrong.is_empty() {
        wrong.extend(walk(daemon, traffic, start));
    }
    if what.is_restart() {
        wrong.extend(roll_back(&daemon.dir).err().map(|error| format!("the roll-back says: {error}")));
        traffic.wait_for_some();
        let still = traffic.hold();
        wrong.extend(truth::problems(daemon, Release::One, *still - start));
    }
    if !wrong.is_empty() {
        let wrong = wrong.join("\n    ");
        let text = format!("{point}, {call:?}, {error}: code {:?}, {}\n    {wrong}", ended.code, ended.stderr.trim());
        outcomes.wrong.lock().expect("no panic").push(text);
    }
    Some((call, error))
}

/// Rolls back to the oldest generation that is kept, and once more, to the next newer one, and says what is wrong on the way.
fn walk(daemon: &Daemon, traffic: &Traffic, start: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_first = truth::names(&daemon.dir).contains(&daemon.map(Release::One.own()));
    let mut release = if is_first { Release::One } else { Release::Two };
    for step in 0..=truth::older(&daemon.dir) {
        release = release.other();
        let back = match roll_back(&daemon.dir) {
            // The next start had completed one.
            Ok(report) if report.resumed => roll_back(&daemon.dir),
            back => back,
        };
        if let Err(error) = back {
            wrong.push(format!("step {step} back says: {error}"));
            break;
        }
        traffic.wait_for_some();
        let still = traffic.hold();
        wrong.extend(truth::problems(daemon, release, *still - start));
    }
    wrong
}

fn check(what: What) {
    if !kernel::available() {
        return;
    }
    let outcomes = each_call_fails_once(what);
    let wrong = outcomes.wrong.lock().expect("no panic");
    println!(
        "{:?} faults: {:?} done anyway, {:?} as before, {:?} completed by the next start",
        outcomes.faults, outcomes.done_anyway, outcomes.as_before, outcomes.completed_later
    );
    assert!(
        wrong.is_empty(),
        "{} of {:?} faults:\n{}",
        wrong.len(),
        outcomes.faults,
        wrong[..wrong.len().min(9)].join("\n")
    );
    assert!(outcomes.faults.load(Ordering::Relaxed) > 90 / what.stride());
}

#[test]
fn each_system_call_of_an_upgrade_fails_once() {
    check(What::Upgrade);
}

#[test]
fn each_system_call_of_an_upgrade_pin_by_pin_fails_once() {
    check(What::UpgradeByPin);
}

#[test]
fn each_system_call_of_a_restart_fails_once() {
    check(What::Restart);
}

#[test]
fn each_system_call_of_a_restart_pin_by_pin_fails_once() {
    check(What::RestartByPin);
}

#[test]
fn each_system_call_of_an_upgrade_that_keeps_two_generations_fails_once() {
    check(What::Third);
}

#[test]
fn each_system_call_of_an_upgrade_pin_by_pin_that_keeps_two_generations_fails_once() {
    check(What::ThirdByPin);
}

#[test]
fn each_system_call_of_a_roll_back_two_generations_back_fails_once() {
    check(What::TwoBack);
}

#[test]
fn each_system_call_of_a_roll_back_that_undoes_another_fails_once() {
    check(What::Forth);
}

#[test]
fn each_system_call_of_a_roll_back_fails_once() {
    check(What::RollBack);
}

/// Installs the first release, lets something go wrong, and holds what is there against what was. Then it is upgraded.
fn nothing_has_happened(wrong: impl FnOnce(&Daemon)) {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    Traffic::drive(&cgroup, |traffic| {
        let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
        let still = traffic.hold();
        let start = *still;
        daemon.start(Release::One).expect("it is installed");
        let before = Pins::read(&daemon.dir);
        wrong(&daemon);
        assert_eq!(Pins::read(&daemon.dir), before);
        let around = truth::names(bpffs.path());
        assert!(!around.iter().any(|name| name.starts_with("daemon@")), "{around:?}");
        drop(still);
        traffic.wait_for_some();
        let now = *traffic.hold();
        assert!(now > start);
        daemon.start(Release::Two).expect("it is upgraded");
        let still = traffic.hold();
        assert_eq!(truth::problems(&daemon, Release::Two, *still - start), Vec::<String>::new());
        assert_eq!(truth::cleared(&daemon), None);
    });
}

#[test]
fn a_staged_upgrade_that_is_dropped_leaves_nothing() {
    nothing_has_happened(|daemon| {
        let staged = daemon.options(Release::Two).begin().expect("a plan").stage().expect("staged");
        drop(daemon.load(staged, Release::Two).expect("loaded"));
    });
}

#[test]
fn a_loader_error_leaves_nothing() {
    nothing_has_happened(|daemon| {
        let staged = daemon.options(Release::Two).begin().expect("a plan").stage().expect("staged");
        let pin = staged.pin(&daemon.map("counts")).expect("staged").to_owned();
        // A loader opens the pin, and fails on something else.
        let _map = Map::open(&pin).expect("a pin");
        drop(staged);
        assert!(!pin.exists());
    });
}

#[test]
fn a_verifier_rejection_leaves_nothing() {
    nothing_has_happened(|daemon| {
        let staged = daemon.options(Release::Two).begin().expect("a plan").stage().expect("staged");
        let rejected = Prog::load(&NewProg {
            prog_type: 9,
            expected_attach_type: 2,
            name: "rejected",
            // Falls off its end.
            insns: &[0],
            flags: 0,
            functions: None,
            attach_btf_id: 0,
        });
        assert!(rejected.is_err());
        drop(staged);
    });
}

#[test]
fn a_hook_that_can_not_be_attached_leaves_nothing() {
    nothing_has_happened(|daemon| {
        let staged = daemon.options(Release::Two).begin().expect("a plan").stage().expect("staged");
        let mut staged = daemon.load(staged, Release::Two).expect("loaded");
        let prog = Prog::load(&NewProg {
            prog_type: 9,
            expected_attach_type: 2,
            name: "misplaced",
            insns: &[0x0000_0001_0000_00b7, 0x95],
            flags: 0,
            functions: None,
            attach_btf_id: 0,
        });
        let cgroup = std::fs::File::open(&daemon.cgroup).expect("the cgroup");
        let hook = maplock::Hook::cgroup(&cgroup, maplock::AttachType::CGROUP_INET4_CONNECT).expect("a descriptor");
        // The last by name, so that all others are attached before it.
        staged.hook("z_misplaced", prog.expect("the verifier takes it"), hook).expect("known at commit only");
        let error = staged.commit().expect_err("a program for sockets is none for connect4");
        assert!(error.to_string().contains("can't attach hook `z_misplaced`"), "{error}");
    });
}

/// The caller's descriptor keeps the link, so that only a detachment ends it.
#[test]
fn a_hook_of_an_upgrade_that_fails_ends_with_it() {
    nothing_has_happened(|daemon| {
        let staged = daemon.options(Release::Two).begin().expect("a plan").stage().expect("staged");
        let mut staged = daemon.load(staged, Release::Two).expect("loaded");
        let prog = |expected_attach_type| {
            let insns = &[0x0000_0001_0000_00b7, 0x95];
            let new = NewProg {
                prog_type: 9,
                expected_attach_type,
                name: "passing",
                insns,
                flags: 0,
                functions: None,
                attach_btf_id: 0,
            };
            Prog::load(&new).expect("the verifier takes it")
        };
        let attach_type = maplock::AttachType::CGROUP_INET_SOCK_CREATE.0;
        let (made, misplaced) = (prog(attach_type), prog(attach_type));
        let cgroup = std::fs::File::open(&daemon.cgroup).expect("the cgroup");
        let target = cgroup.as_raw_fd().cast_unsigned();
        let link = Link::create(&NewLink { prog: made.as_fd(), target, attach_type, flags: 0 }).expect("attached");
        let id = link.info().expect("a link").id;
        staged.hook("made", made, maplock::Hook::attached(&link).expect("a descriptor")).expect("a hook");
        let hook = maplock::Hook::cgroup(&cgroup, maplock::AttachType::CGROUP_INET4_CONNECT).expect("a descriptor");
        staged.hook("z_misplaced", misplaced, hook).expect("known at commit only");
        assert!(kernel::is_attached(id));
        staged.commit().expect_err("a program for sockets is none for connect4");
        assert!(!kernel::is_attached(id));
    });
}

#[test]
fn more_entries_than_the_new_map_takes_leave_nothing() {
    nothing_has_happened(|daemon| {
        let mut policies = daemon.policies();
        let counts = policies.maps.get_mut(&daemon.map("counts")).expect("it has one");
        counts.max_entries = Some(8);
        counts.larger = maplock::OnMismatch::Refuse;
        let upgrade = daemon.options(Release::Two).policies(policies).begin().expect("a plan");
        let error = upgrade.stage().expect_err("40 entries do not fit into 8");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(&daemon.map("counts")), "{error}");
    });
}

#[test]
fn a_map_that_is_too_large_leaves_nothing() {
    nothing_has_happened(|daemon| {
        let mut policies = daemon.policies();
        // 32 GiB of slots, more than the kernel gives to one array here.
        policies.maps.get_mut(&daemon.map("slots")).expect("it has one").max_entries = Some(u32::MAX);
        let upgrade = daemon.options(Release::Two).policies(policies).begin().expect("a plan");
        let error = upgrade.stage().expect_err("no kernel gives that");
        assert_eq!(error.kind(), ErrorKind::Kernel, "{error}");
        let text = error.to_string();
        assert!(text.contains("can't create map `slots_") && text.contains("array of 4294967295"), "{text}");
    });
}

#[test]
fn a_map_that_is_filled_up_meanwhile_leaves_nothing() {
    nothing_has_happened(|daemon| {
        let mut policies = daemon.policies();
        policies.maps.get_mut(&daemon.map("counts")).expect("it has one").max_entries = Some(65);
        let staged = daemon.options(Release::Two).policies(policies).begin().expect("a plan").stage().expect("staged");
        let staged = daemon.load(staged, Release::Two).expect("loaded");
        // The new map is full before what the old programs add comes over.
        let map = staged.map(&daemon.map("counts")).expect("staged");
        for key in 1000.. {
            if map.update(&u32::to_ne_bytes(key), &[1; 16], 0).is_err() {
                break;
            }
        }
        let live = Map::open(&daemon.dir.join(daemon.map("counts"))).expect("live");
        let late = 500_u32.to_ne_bytes();
        live.update(&late, &[1; 16], 0).expect("there is room");
        let error = staged.commit().expect_err("there is none");
        assert!(error.to_string().contains(&daemon.map("counts")), "{error}");
        assert_eq!(live.lookup(&late).expect("a map"), Some(vec![1; 16]));
        live.delete(&late).expect("a map");
        // What the new map held more has come back, as if new programs had written it, as far as there is room.
        let back = (1000..1025_u32).filter(|key| live.delete(&key.to_ne_bytes()).expect("a map")).count();
        assert_eq!(back, 64 - 41);
        assert!(live.lookup(&COUNTED.to_ne_bytes()).expect("a map").is_some());
    });
}

#[test]
fn an_unprivileged_user_changes_nothing() {
    nothing_has_happened(|daemon| {
        let mut command = daemon.command(env!("CARGO_BIN_EXE_generation"), "two");
        let output = command.uid(65534).gid(65534).output().expect("the command is there");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("can't"), "{text}");
    });
}

#[test]
fn a_link_that_somebody_puts_in_the_place_of_the_kept_generation_meanwhile_is_not_written_through() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    let mut daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
    daemon.each_pin = true;
    daemon.start(Release::One).expect("it is installed");
    let (prev, theirs) = (truth::beside(&daemon.dir, "prev"), bpffs.path().join("theirs"));
    std::fs::create_dir(&theirs).expect("made");
    let mut command = daemon.command(env!("CARGO_BIN_EXE_generation"), "two");
    let mut made = 0;
    let ended = trace::run(command.arg("traced"), |call| {
        if [libc::SYS_mkdir, libc::SYS_mkdirat].contains(&call.number) {
            made += 1;
            // The first makes the staged generation.
            if made == 2 {
                std::os::unix::fs::symlink(&theirs, &prev).expect("planted");
            }
        }
        Fate::Made
    });
    assert!(made >= 2 && ended.code != Some(0), "{ended:?}");
    let wanted = format!("`{}` is a symbolic link to `{}`", prev.display(), theirs.display());
    assert!(ended.stderr.contains(&wanted) && ended.stderr.contains("; the upgrade is done, "), "{}", ended.stderr);
    assert!(truth::names(&theirs).is_empty(), "{:?}", truth::names(&theirs));
    std::fs::remove_file(&prev).expect("a link");
    daemon.start(Release::Two).expect("the upgrade is completed");
    let problems = truth::problems(&daemon, Release::Two, 0);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_directory_that_somebody_puts_in_the_place_of_the_staged_one_at_the_last_moment_does_not_become_live() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
    daemon.start(Release::One).expect("it is installed");
    let (next, aside) = (truth::beside(&daemon.dir, "next"), truth::beside(&daemon.dir, "aside"));
    let mut command = daemon.command(env!("CARGO_BIN_EXE_generation"), "two");
    let mut is_planted = false;
    let ended = trace::run(command.arg("traced"), |call| {
        // The first of these is the exchange.
        if call.number == libc::SYS_renameat2 && !is_planted {
            std::fs::rename(&next, &aside).expect("moved");
            std::fs::create_dir(&next).expect("made");
            std::os::unix::fs::chown(&next, Some(4711), Some(4711)).expect("root may");
            is_planted = true;
        }
        Fate::Made
    });
    assert!(is_planted && ended.code != Some(0), "{ended:?}");
    assert!(ended.stderr.contains("somebody put another directory in its place"), "{}", ended.stderr);
    assert!(daemon.dir.join(daemon.map(Release::One.own())).exists(), "{:?}", truth::names(&daemon.dir));
    assert!(truth::names(&next).is_empty(), "{:?}", truth::names(&next));
    std::fs::remove_dir(&next).expect("theirs");
    std::fs::rename(&aside, &next).expect("moved back");
    daemon.start(Release::Two).expect("the upgrade is completed");
    let problems = truth::problems(&daemon, Release::Two, 0);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
