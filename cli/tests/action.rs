//! The action's script, as GitHub runs it: in a clone of a bare remote, against an API on loopback. And the GitLab job and the hook of
//! pre-commit, each by the lines that its system would run.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use support::{Sandbox, compile, object, repository};

/// What the API was asked, and what it holds.
#[derive(Default)]
struct Held {
    /// `METHOD /path`, with the body.
    asked: Vec<(String, Value)>,
    comments: Vec<Value>,
}

/// The part of GitHub's API that the script uses.
struct Api {
    address: String,
    held: Arc<Mutex<Held>>,
}

impl Api {
    fn start(may_write: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = Arc::clone(&held);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &shared, may_write);
            }
        });
        Self { address, held }
    }

    fn asked(&self, of: &str) -> Vec<Value> {
        let held = self.held.lock().expect("no panic");
        held.asked.iter().filter(|(what, _)| what == of).map(|(_, body)| body.clone()).collect()
    }

    fn comments(&self) -> Vec<String> {
        let held = self.held.lock().expect("no panic");
        held.comments.iter().map(|comment| comment["body"].as_str().expect("a text").to_owned()).collect()
    }
}

fn answer(mut stream: TcpStream, held: &Mutex<Held>, may_write: bool) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut head = String::new();
    reader.read_line(&mut head).expect("a request");
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let words: Vec<_> = head.split(' ').collect();
    let (method, path) = (words[0], words[1].split('?').next().expect("a path"));
    let path = path.strip_prefix("/repos/maplock/demo").expect("of the repository");
    let mut held = held.lock().expect("no panic");
    held.asked.push((format!("{method} {path}"), body.clone()));
    let (code, reply) = match (method, path) {
        ("GET", "/issues/7/comments") => {
            // What others say comes first, and looks much like ours.
            let other = json!({ "id": 1, "body": "I ran maplock <!-- maplock: one comment, kept up to date -->" });
            (200, Value::from(std::iter::once(other).chain(held.comments.iter().cloned()).collect::<Vec<_>>()))
        }
        _ if !may_write => (403, json!({ "message": "Resource not accessible by integration" })),
        ("POST", "/issues/7/comments") => {
            let id = held.comments.len() + 41;
            held.comments.push(json!({ "id": id, "body": body["body"] }));
            (201, json!({}))
        }
        ("PATCH", path) => {
            let id: usize = path.strip_prefix("/issues/comments/").expect("a comment").parse().expect("a number");
            held.comments[id - 41]["body"] = body["body"].clone();
            (200, json!({}))
        }
        ("DELETE", _) => (404, json!({ "message": "Label does not exist" })),
        _ => (201, json!({})),
    };
    let reply = reply.to_string();
    let length = reply.len();
    _ = write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reply}");
}

/// A bare remote whose `main` has v1, and a shallow clone of a branch that pulls from it.
struct Project {
    sandbox: Sandbox,
}

impl Project {
    fn new() -> Self {
        let sandbox = Sandbox::with_minimesh();
        sandbox.git_init();
        assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
        sandbox.git("add --all");
        sandbox.git("commit --quiet -m v1");
        sandbox.git("clone --quiet --bare . remote.git");
        sandbox.git("checkout --quiet -b change");
        Self { sandbox }
    }

    /// The branch, as the action gets it; `main` is not there.
    fn checkout(&self) {
        let sandbox = &self.sandbox;
        sandbox.git("add maps.lock");
        sandbox.git("commit --quiet --allow-empty -m change");
        sandbox.git("push --quiet --force remote.git change");
        _ = fs::remove_dir_all(sandbox.path("work"));
        let remote = sandbox.path("remote.git");
        sandbox.git(&format!("clone --quiet --depth=1 --branch change file://{} work", remote.display()));
    }

    fn act(&self, api: &Api, inputs: &[(&str, &str)]) -> (Output, BTreeMap<&'static str, String>) {
        let sandbox = &self.sandbox;
        sandbox.write("event.json", r#"{ "pull_request": { "number": 7, "head": { "sha": "abc123" } } }"#);
        _ = fs::remove_dir_all(sandbox.path("temp"));
        fs::create_dir(sandbox.path("temp")).expect("a directory");
        for name in ["summary", "output"] {
            sandbox.write(name, "");
        }
        let mut command = Command::new(repository().join("ci/github"));
        command.current_dir(sandbox.path("work")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for name in ["INPUT_AGAINST", "INPUT_LABEL", "INPUT_FAIL", "INPUT_COMMENT", "INPUT_ARGUMENTS", "CARGO", "CI"] {
            command.env_remove(name);
        }
        command.envs([
            ("MAPLOCK", env!("CARGO_BIN_EXE_cargo-maplock")),
            ("GITHUB_API_URL", api.address.as_str()),
            ("GITHUB_REPOSITORY", "maplock/demo"),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_TOKEN", "t"),
        ]);
        for (name, file) in [
            ("GITHUB_EVENT_PATH", "event.json"),
            ("RUNNER_TEMP", "temp"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("GITHUB_OUTPUT", "output"),
        ] {
            command.env(name, sandbox.path(file));
        }
        let output = command.envs(inputs.iter().copied()).output().expect("the script runs");
        let outputs = BTreeMap::from([("summary", sandbox.read("summary")), ("output", sandbox.read("output"))]);
        (output, outputs)
    }

    /// Breaks the lock in the way of v3, or accepts that.
    fn v3(&self, is_accepted: bool) {
        let sandbox = &self.sandbox;
        let accept = format!("accept stats --on-upgrade migrate --reason why --object {}", object("v3"));
        if is_accepted {
            sandbox.git("checkout --quiet main -- maps.lock");
            assert_eq!(sandbox.run(&accept).code, Some(0));
        } else {
            fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
            assert_eq!(sandbox.run(&format!("init --object {}", object("v3"))).code, Some(0));
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_break_fails_and_is_told_in_every_place_until_it_is_accepted() {
    let (project, api) = (Project::new(), Api::start(true));
    project.v3(false);
    project.checkout();
    let label = [("INPUT_LABEL", "breaks maps")];
    let (output, files) = project.act(&api, &label);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    assert!(text(&output).contains("::error file=maps.lock,line="), "{}", text(&output));
    assert!(files["summary"].starts_with("### maplock: maps.lock against origin/main: "), "{}", files["summary"]);
    assert!(files["output"].starts_with("sarif=") && files["output"].contains("result=breaks"), "{}", files["output"]);
    let sarif: Value = serde_json::from_str(&project.sandbox.read("temp/maplock.sarif")).expect("JSON");
    assert!(sarif["runs"][0]["results"].as_array().is_some_and(|results| !results.is_empty()));
    let comments = api.comments();
    assert!(comments.len() == 1 && comments[0].contains("**refuse**"), "{comments:?}");
    // What it offers can be typed by who reads it, and not on the runner alone.
    assert!(
        comments[0].contains("cargo maplock accept stats ") && !comments[0].contains("cargo-maplock"),
        "{comments:?}"
    );
    assert_eq!(api.asked("POST /issues/7/labels"), [json!({ "labels": ["breaks maps"] })]);
    assert_eq!(api.asked("POST /statuses/abc123")[0]["state"], "failure");

    // It goes on in the same comment.
    project.v3(true);
    project.checkout();
    let (output, files) = project.act(&api, &label);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let comments = api.comments();
    assert!(comments.len() == 1 && comments[0].contains("breaks of 1 map accepted"), "{comments:?}");
    assert_eq!(api.asked("DELETE /issues/7/labels/breaks%20maps").len(), 1);
    assert_eq!(api.asked("POST /statuses/abc123")[1]["state"], "success");
    assert!(files["output"].contains("result=compatible"), "{}", files["output"]);
}

#[test]
fn a_token_that_may_only_read_is_no_failure() {
    let (project, api) = (Project::new(), Api::start(false));
    project.v3(true);
    project.checkout();
    let (output, files) = project.act(&api, &[("INPUT_LABEL", "x")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).contains("::notice title=maplock::POST /issues/7/comments was answered 403"),
        "{}",
        text(&output)
    );
    assert!(files["summary"].contains("breaks of 1 map accepted"), "{}", files["summary"]);
    assert_eq!(api.comments().len(), 0);
}

#[test]
fn what_is_not_compared_fails_whatever_was_asked_for() {
    let (project, api) = (Project::new(), Api::start(true));
    project.checkout();
    let lenient = ("INPUT_FAIL", "false");
    let (output, files) = project.act(&api, &[lenient, ("INPUT_AGAINST", "v9")]);
    assert_eq!(output.status.code(), Some(101), "{}", text(&output));
    assert!(text(&output).contains("origin has no branch, tag or commit `v9`"), "{}", text(&output));
    assert!(files["output"].contains("result=not-compared"), "{}", files["output"]);
    // A lock that can't be read.
    project.sandbox.write("maps.lock", "version = 99\n");
    project.checkout();
    let (output, files) = project.act(&api, &[lenient]);
    assert_eq!(output.status.code(), Some(101), "{}", text(&output));
    assert!(files["summary"].contains("nothing was compared"), "{}", files["summary"]);
    let wrong = [lenient, ("INPUT_ARGUMENTS", "--no-such-option")];
    let (output, files) = project.act(&api, &wrong);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(files["summary"].contains("nothing was compared (exit code 2)"), "{}", files["summary"]);
    let states: Vec<_> = api.asked("POST /statuses/abc123").iter().map(|status| status["state"].clone()).collect();
    assert_eq!(states, ["error", "error", "error"]);
}

#[test]
fn a_break_can_be_told_without_failing() {
    let (project, api) = (Project::new(), Api::start(true));
    project.v3(false);
    project.checkout();
    let (output, _) = project.act(&api, &[("INPUT_FAIL", "false"), ("INPUT_COMMENT", "false")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!((api.comments().len(), api.asked("GET /issues/7/comments").len()), (0, 0));
    assert_eq!(api.asked("POST /statuses/abc123")[0]["state"], "failure");
}

/// The inputs that action.yml declares, and those that the script reads.
#[test]
fn the_action_hands_every_input_to_the_script() {
    let action = fs::read_to_string(repository().join("action.yml")).expect("the action");
    let script = fs::read_to_string(repository().join("ci/github")).expect("the script");
    for input in ["against", "comment", "label", "fail", "arguments"] {
        assert!(action.contains(&format!("\n  {input}:\n")), "{input}");
        let variable = format!("INPUT_{}", input.to_uppercase());
        assert!(action.contains(&format!("{variable}: ${{{{ inputs.{input} }}}}")), "{input}");
        assert!(script.contains(&format!("${{{variable}:-")), "{input}");
    }
}

/// `cargo maplock` as it is, first on the PATH.
fn path_with_tool(sandbox: &Sandbox) -> String {
    fs::create_dir_all(sandbox.path("bin")).expect("a directory");
    let tool = env!("CARGO_BIN_EXE_cargo-maplock");
    #[cfg(unix)]
    std::os::unix::fs::symlink(tool, sandbox.path("bin/cargo-maplock")).expect("a link");
    format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").expect("a path"))
}

#[test]
fn the_job_for_gitlab_makes_its_reports_and_fails_by_its_last_line() {
    let project = Project::new();
    let path = path_with_tool(&project.sandbox);
    assert_eq!(project.sandbox.run("init --lock maps.lock --add gitlab").code, Some(0));
    let job = project.sandbox.read(".gitlab/maplock.yml");
    let script = job.split("  script:\n").nth(1).and_then(|rest| rest.split("  artifacts:").next()).expect("a script");
    let lines: Vec<_> = script.lines().filter_map(|line| line.strip_prefix("    - ")).collect();
    assert!(lines.len() >= 4, "{job}");
    for (is_accepted, code) in [(false, 100), (true, 0)] {
        project.v3(is_accepted);
        project.checkout();
        // As a runner does: one shell, which ends at the first line that fails.
        let mut shell = Command::new("bash");
        shell.args(["-eo", "pipefail", "-c", &lines.join("\n")]).current_dir(project.sandbox.path("work"));
        shell.env("PATH", &path).env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main").env_remove("CI");
        let output = shell.output().expect("bash runs");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        let quality = project.sandbox.read("work/maplock-quality.json");
        let issues: Value = serde_json::from_str(&quality).expect("JSON");
        let is_critical = |issue: &Value| issue["severity"] == "critical";
        assert_eq!(issues.as_array().expect("a list").iter().any(is_critical), !is_accepted, "{quality}");
        assert!(project.sandbox.read("work/maplock-junit.xml").contains("<testsuites name=\"maplock\""));
    }
}

#[test]
fn the_hook_stops_a_commit_whose_lock_is_behind() {
    let sandbox = Sandbox::new();
    sandbox.git_init();
    let path = path_with_tool(&sandbox);
    let map = |entries: &str| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, {entries}); __uint(pinning, 1); __type(key, __u32); __type(value, __u64); }} flows SEC(\".maps\");\n"
        )
    };
    compile(&sandbox, "flows.o", &map("8"));
    sandbox.write("maplock.toml", "objects = [\"flows.o\"]\n");
    assert_eq!(sandbox.run("init --add pre-commit").code, Some(0));
    // Both say what to run; a hook of git's stands for pre-commit, which does no more with a hook of `language: system`.
    let entry = |text: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("entry: ")).expect("an entry");
        assert!(text.contains("language: system") && text.contains("pass_filenames: false"), "{text}");
        line.to_owned()
    };
    let own = entry(&sandbox.read(".pre-commit-config.yaml"));
    let shared = fs::read_to_string(repository().join(".pre-commit-hooks.yaml")).expect("the hooks");
    assert_eq!(own, entry(&shared));
    sandbox.write(".git/hooks/pre-commit", format!("#!/bin/sh\nexec {own}\n"));
    #[cfg(unix)]
    fs::set_permissions(sandbox.path(".git/hooks/pre-commit"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a hook");
    let commit = || {
        sandbox.git("add --all");
        let mut git = Command::new("git");
        git.args(["commit", "--quiet", "-m", "x"]).current_dir(sandbox.path("")).env("PATH", &path);
        git.output().expect("git runs")
    };
    assert!(commit().status.success());
    compile(&sandbox, "flows.o", &map("16"));
    let refused = commit();
    assert!(!refused.status.success());
    assert!(text(&refused).contains("maps.lock is out of date"), "{}", text(&refused));
    assert_eq!(sandbox.run("update").code, Some(0));
    assert!(commit().status.success());
}
