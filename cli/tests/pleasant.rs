//! What makes the tools pleasant to run: completions, a manual, silence, progress, and colours where they are wanted.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use maplock::internals::sys::bpffs;
use support::node::Node;
use support::{Ran, Sandbox, object, words};

const PROGRAMS: [(&str, &str); 2] =
    [("cargo-maplock", env!("CARGO_BIN_EXE_cargo-maplock")), ("maplock", env!("CARGO_BIN_EXE_maplock"))];

/// One of the programs as where it is installed.
fn run(sandbox: &Sandbox, (name, path): (&str, &str), line: &str) -> Ran {
    let mut command = support::tool_at(path);
    command.arg0(name).args(words(line)).current_dir(sandbox.path("")).env_remove("CARGO").stdin(Stdio::null());
    sandbox.ran(command)
}

/// What bash makes of the words of a line, the last of which is to be completed.
fn completed(sandbox: &Sandbox, script: &str, line: &str) -> Vec<String> {
    let words: Vec<_> = line.split(' ').collect();
    let (program, last) = (words[0], words.len() - 1);
    // As bash does when somebody presses the key: it asks the function that is set for the program.
    let asked = format!(
        "source ./{script}\nf=$(complete -p {program}); f=${{f#*-F }}; f=${{f%% *}}\n\
         COMP_WORDS=({line}); COMP_CWORD={last}; [ ${{#COMP_WORDS[@]}} -gt {last} ] || COMP_WORDS+=('')\n\
         $f {program} \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["--norc", "-c", &asked]).current_dir(sandbox.path("")).output();
    let output = output.expect("bash runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_and_formats() {
    let sandbox = Sandbox::new();
    for program in PROGRAMS {
        let ran = run(&sandbox, program, "--quiet completions bash");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        sandbox.write("script", ran.stdout);
        let name = program.0;
        let complete = |line: &str| completed(&sandbox, "script", &format!("{name} {line}"));
        assert_eq!(complete("che"), ["check"]);
        assert_eq!(complete("merge"), ["merge-driver"]);
        assert_eq!(complete("check --aga"), ["--against"]);
        assert_eq!(complete("diff --message-format j"), ["json", "junit"]);
        assert_eq!(complete("roll").is_empty(), name != "maplock");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let ran = run(&sandbox, PROGRAMS[1], &format!("completions {shell}"));
        assert!(ran.code == Some(0) && ran.stdout.contains("merge-driver"), "{shell}: {}", ran.stderr);
    }
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let sandbox = Sandbox::new();
    for program in PROGRAMS {
        let (name, _) = program;
        let ran = run(&sandbox, program, &format!("man {name}-man"));
        assert_eq!(
            (ran.code, ran.stdout),
            (Some(0), format!("wrote the manual to {name}-man: see `man -l {name}-man/{name}.1`\n"))
        );
        let pages = fs::read_dir(sandbox.path(&format!("{name}-man"))).expect("a directory");
        let pages: Vec<_> = pages.map(|page| page.expect("a page").path()).collect();
        assert!(pages.len() > 15, "{pages:?}");
        if Command::new("man").arg("--version").output().is_err() {
            println!("skipped: needs man");
            continue;
        }
        // One of each kind as a reader sees it; of all, warnings are faults.
        for page in [name.to_owned(), format!("{name}-merge-driver")] {
            let mut command = Command::new("man");
            command.arg("-l").arg(sandbox.path(&format!("{name}-man/{page}.1")));
            let output =
                command.envs([("MANPAGER", "cat"), ("MANWIDTH", "80"), ("LC_ALL", "C")]).output().expect("man runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains(&page) && text.contains("SYNOPSIS"), "{page}: {text}");
        }
        let output = Command::new("groff").args(["-ww", "-z", "-man", "-Tutf8"]).args(&pages).output();
        let said = String::from_utf8(output.expect("groff runs, as it does below man").stderr).expect("text");
        assert_eq!(said, "");
    }
    assert!(sandbox.path("maplock-man/maplock-rollback.1").is_file());
    assert!(!sandbox.path("cargo-maplock-man/cargo-maplock-rollback.1").exists());
}

/// A release with v1, and objects of the next in `bpf/minimesh`.
fn run_quietly(sandbox: &Sandbox, line: &str) -> (Option<i32>, String) {
    let ran = sandbox.run(&format!("--quiet {line}"));
    assert_eq!(ran.stderr, "", "{line}");
    (ran.code, ran.stdout)
}

#[test]
fn who_asks_for_quiet_hears_only_of_what_fails() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    let quiet = |line: &str| run_quietly(&sandbox, line);
    let silence = (Some(0), String::new());
    assert_eq!(quiet(&format!("init --object {}", object("v1"))), silence);
    sandbox.release("v1");
    // There is a warning, which is none of what was asked for.
    let check = format!("check --object {}", object("v1"));
    assert!(sandbox.run(&check).stdout.contains("warning["));
    for line in
        [&check, "diff v1", "check --against v1", "matrix --tags v1", "rules", "explain member-added", "layout stats"]
    {
        assert_eq!(quiet(line), silence, "{line}");
    }
    assert_eq!(quiet(&format!("update --object {}", object("v2"))), silence);
    assert_eq!(quiet("report --html page"), silence);
    assert!(sandbox.path("page/index.html").is_file());
    let (code, told) = quiet(&format!("check --object {}", object("v3")));
    assert_eq!(code, Some(100));
    assert!(told.starts_with("error[member-") && told.contains("= help: keep the entries:"), "{told}");
    assert!(
        told.lines().last().is_some_and(|line| line.starts_with("error: maps.lock: ")) && !told.contains("warning"),
        "{told}"
    );
    let (code, told) = quiet(&format!("diff v1 {}", object("v3")));
    assert!(code == Some(100) && told.contains("error[member-") && !told.contains("\nwrote "), "{told}");
    // A document is whole.
    let (code, told) = quiet("check --against v1 --message-format json");
    assert!(code == Some(0) && told.starts_with('{'), "{told}");
    assert!(quiet("schema lock").1.starts_with('{'));
    assert!(quiet("diff v1 --message-format markdown").1.len() > 20);
    let ran = sandbox.run("--quiet check --against gone");
    assert!(ran.code == Some(101) && ran.stderr.starts_with("error: "), "{}", ran.stderr);
}

#[test]
fn quiet_is_quiet_on_a_node() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    node.fill("stats", 3);
    let quiet = |line: &str| {
        let ran = node.run(&format!("{line} --quiet"));
        assert_eq!(ran.stderr, "", "{line}");
        (ran.code, ran.stdout)
    };
    let silence = (Some(0), String::new());
    assert_eq!(quiet("plan --lock v2.lock --pins fs/minimesh --deny refuse"), silence);
    assert_eq!(quiet("plan --lock unknown.lock --pins fs/minimesh"), silence);
    let (code, told) = quiet("plan --lock unknown.lock --pins fs/minimesh --deny refuse");
    assert!(code == Some(100) && told.starts_with("error: map `stats` would be refused"), "{told}");
    for line in ["inspect fs/minimesh", "dump fs/minimesh/stats", "watch fs/minimesh --once"] {
        assert_eq!(quiet(line), silence, "{line}");
        assert!(quiet(&format!("{line} --message-format json")).1.len() > 2, "{line}");
    }
    node.upgrade("v2.lock");
    assert_eq!(quiet("rollback fs/minimesh"), silence);
    assert_eq!(quiet("confirm fs/minimesh"), silence);
    let ran = node.run("rollback fs/minimesh --quiet");
    assert!(ran.code == Some(101) && ran.stdout.is_empty() && ran.stderr.starts_with("error: "), "{}", ran.stderr);
}

/// A git that goes on when `until`, a test of a shell, holds; after half a minute in any case.
fn slow_git(sandbox: &Sandbox, until: &str) {
    let dirs = std::env::var_os("PATH").expect("a path");
    let git =
        std::env::split_paths(&dirs).map(|dir| dir.join("git")).find(|path| path.is_file()).expect("git is installed");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *v2*)\n  n=0\n  while [ $n -lt 600 ] && ! {until}; do sleep 0.05; n=$((n+1)); done;;\nesac\nexec {} \"$@\"\n",
        git.display()
    );
    sandbox.write("slow/git", script);
    let mut chmod = Command::new("chmod");
    assert!(chmod.arg("+x").arg(sandbox.path("slow/git")).status().expect("chmod").success());
}

/// The tool at a terminal, which `script` (util-linux) makes; what is seen there is in the file `seen` from the first moment.
fn at_a_terminal(sandbox: &Sandbox, line: &str, env: &[(&str, &str)]) -> String {
    let path = std::env::var("PATH").expect("a path");
    let mut command = support::tool_at("script");
    command.args(["--quiet", "--flush", "--return", "--command"]).arg(format!("{} {line}", PROGRAMS[1].1)).arg("seen");
    command
        .current_dir(sandbox.path(""))
        .env("TERM", "xterm")
        .env("PATH", format!("{}:{path}", sandbox.path("slow").display()));
    command.envs(env.iter().copied());
    sandbox.ran(command);
    sandbox.read("seen")
}

#[test]
fn who_waits_at_a_terminal_sees_which_release_is_read() {
    let sandbox = Sandbox::with_release();
    sandbox.release("v2");
    sandbox.release("v3");
    let matrix = "matrix --tags 'v*'";
    slow_git(&sandbox, "grep -q 'Reading releases.*1/3 v2' seen");
    let seen = at_a_terminal(&sandbox, matrix, &[]);
    assert!(seen.contains("Reading releases [===") && seen.contains("1/3 v2"), "{seen:?}");
    assert!(seen.contains("3 releases compared: no upgrade"), "{seen:?}");
    // Where nobody is, or wants to know, nothing of it is seen, however long it takes.
    slow_git(&sandbox, "sleep 1.2");
    let in_ci = at_a_terminal(&sandbox, matrix, &[("CI", "true")]);
    assert!(!in_ci.contains("Reading") && in_ci.contains("3 releases compared: no upgrade"), "{in_ci:?}");
    let mut command = sandbox.command("matrix --tags v*");
    command.env("PATH", format!("{}:{}", sandbox.path("slow").display(), std::env::var("PATH").expect("a path")));
    let ran = sandbox.ran(command);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn who_waits_at_a_terminal_for_another_upgrade_sees_that() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    node.upgrade("v2.lock");
    let (pin, seen) = (node.pins().join("maplock@lock"), node.sandbox.path("seen"));
    for (line, shown) in [
        ("rollback fs/minimesh", "Rolling back"),
        ("confirm fs/minimesh", "Confirming"),
        ("recover fs/minimesh --discard", "Recovering"),
    ] {
        let lock = bpffs::open_pin(&pin).expect("the lock");
        assert!(bpffs::try_lock(&lock).expect("a lock"), "{line}");
        let shown = format!("{shown} fs/minimesh, or waiting for an upgrade there to end");
        _ = fs::remove_file(&seen);
        // The other one ends once that is seen; after half a minute in any case.
        let (words, file) = (shown.clone(), seen.clone());
        let other = thread::spawn(move || {
            let is_seen = || fs::read(&file).is_ok_and(|seen| String::from_utf8_lossy(&seen).contains(&words));
            (0..600).take_while(|_| !is_seen()).for_each(|_| thread::sleep(Duration::from_millis(50)));
            drop(lock);
        });
        let told = at_a_terminal(&node.sandbox, line, &[]);
        other.join().expect("it ends");
        assert!(told.contains(&shown) && !told.contains("error"), "{line}: {told:?}");
    }
}

/// A file that ends once a line like `shown` was seen at the terminal; after half a minute in any case.
fn slow_file(sandbox: &Sandbox, name: &str, shown: &str) -> std::process::Child {
    assert!(Command::new("mkfifo").arg(sandbox.path(name)).status().expect("mkfifo").success());
    let script = format!(
        "n=0; while [ $n -lt 600 ] && ! grep -q '{shown}' seen; do sleep 0.05; n=$((n+1)); done 2>/dev/null; echo '{{}}' > {name}"
    );
    Command::new("sh").args(["-c", &script]).current_dir(sandbox.path("")).spawn().expect("sh runs")
}

#[test]
fn who_waits_at_a_terminal_sees_which_revision_or_file_is_read() {
    let sandbox = Sandbox::with_release();
    sandbox.release("v2");
    sandbox.write("a.json", "{}");
    sandbox.write("maplock.toml", "releases = \"v*\"\nacross = \"all\"\n");
    for (line, shown) in [
        ("check --against v1 --against v2", "Comparing .*1/2 v2"),
        ("check --against HEAD", "Looking for locks .*1/2 v2"),
    ] {
        slow_git(&sandbox, &format!("grep -q '{shown}' seen"));
        let seen = at_a_terminal(&sandbox, line, &[]);
        assert!(seen.contains("1/2 v2") && seen.contains("maps.lock against "), "{line}: {seen:?}");
    }
    for (line, file, shown) in [
        ("check --lock maps.lock --fleet a.json b.json", "b.json", "Reading nodes .*1/2 b.json"),
        ("fleet a.json c.json", "c.json", "Reading nodes .*1/2 c.json"),
        ("migrate --test --lock maps.lock --dump stats.json", "stats.json", "Converting .*0/1 stats.json"),
    ] {
        let mut slow = slow_file(&sandbox, file, shown);
        let seen = at_a_terminal(&sandbox, line, &[]);
        assert!(seen.contains(&format!("/{}", shown.rsplit('/').next().expect("a step"))), "{line}: {seen:?}");
        // It has ended, unless nobody read the file.
        _ = slow.kill();
        _ = slow.wait();
    }
}

#[test]
fn colours_are_where_they_are_wanted() {
    let sandbox = Sandbox::with_release();
    slow_git(&sandbox, "true");
    let styled = |text: &str| text.contains('\u{1b}');
    let piped = |line: &str, env: &[(&str, &str)]| {
        let mut command = sandbox.command(line);
        command.envs(env.iter().copied());
        styled(&sandbox.ran(command).stdout)
    };
    let check = format!("check --object {}", object("v3"));
    assert!(!piped(&check, &[]));
    assert!(piped(&check, &[("CLICOLOR_FORCE", "1")]));
    assert!(piped(&format!("{check} --color always"), &[("NO_COLOR", "1")]));
    assert!(!piped(&format!("{check} --color never"), &[("CLICOLOR_FORCE", "1")]));
    // A document has none, whoever wants some.
    assert!(!piped(&format!("{check} --message-format json"), &[("CLICOLOR_FORCE", "1")]));
    assert!(styled(&at_a_terminal(&sandbox, &check, &[])));
    for line in [check.as_str(), "--help", "check --against gone"] {
        let plain = at_a_terminal(&sandbox, line, &[("NO_COLOR", "1")]);
        assert!(!styled(&plain), "{line}: {plain:?}");
    }
    assert!(Path::new(PROGRAMS[0].1).is_file());
}
