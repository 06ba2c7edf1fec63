//! The action's steps, as GitHub runs them: in a clone of a bare remote, against an API on loopback. And the GitLab job, as its runner
//! would run it, and the hook of pre-commit, by pre-commit.
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
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

/// The programs, in a folder as an installation leaves them.
fn install(bin: &Path) {
    fs::create_dir_all(bin).expect("a directory");
    for (name, path) in
        [("cargo-maplock", env!("CARGO_BIN_EXE_cargo-maplock")), ("maplock", env!("CARGO_BIN_EXE_maplock"))]
    {
        symlink(path, bin.join(name)).expect("a link");
    }
}

/// A step of action.yml that runs something.
fn step(name: &str) -> Yaml {
    let action = fs::read_to_string(repository().join("action.yml")).expect("the action");
    let action: Yaml = serde_yaml_ng::from_str(&action).expect("YAML");
    let steps = action["runs"]["steps"].as_sequence().expect("steps");
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}")).clone()
}

/// What the inputs are: those of the job, and the defaults of the others.
fn inputs(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let action = fs::read_to_string(repository().join("action.yml")).expect("the action");
    let action: Yaml = serde_yaml_ng::from_str(&action).expect("YAML");
    let declared = action["inputs"].as_mapping().expect("inputs").iter();
    let mut inputs: BTreeMap<_, _> = declared
        .map(|(name, input)| {
            let text = |value: &Yaml| value.as_str().expect("a text").to_owned();
            (text(name), text(&input["default"]))
        })
        .collect();
    for (name, value) in given {
        assert!(inputs.insert((*name).to_owned(), (*value).to_owned()).is_some(), "no input {name}");
    }
    inputs
}

/// A bare remote whose `main` has v1, and a shallow clone of a branch that pulls from it.
struct Project {
    sandbox: Sandbox,
    /// Where the action is.
    action: PathBuf,
}

impl Project {
    /// A project without Cargo.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(more: impl Fn(&Sandbox)) -> Self {
        let sandbox = Sandbox::with_minimesh();
        sandbox.git_init();
        more(&sandbox);
        assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
        sandbox.git("add --all");
        sandbox.git("commit --quiet -m v1");
        sandbox.git("clone --quiet --bare . remote.git");
        sandbox.git("checkout --quiet -b change");
        Self { sandbox, action: repository() }
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

    /// The folder of the job's programs and files, empty.
    fn temp(&self) -> PathBuf {
        let temp = self.sandbox.path("temp");
        _ = fs::remove_dir_all(&temp);
        fs::create_dir(&temp).expect("a directory");
        temp
    }

    /// Runs a step as a runner does: in its folder, or else in that of the job, with its variables.
    fn run(&self, name: &str, api: &Api, given: &[(&str, &str)]) -> Command {
        let (sandbox, step, inputs) = (&self.sandbox, step(name), inputs(given));
        let filled = |text: &Yaml| {
            let mut out = String::new();
            let mut parts = text.as_str().expect("a text").split("${{ ");
            out.push_str(parts.next().unwrap_or_default());
            for part in parts {
                let (what, rest) = part.split_once(" }}").expect("it ends");
                match what.split_once('.').expect("a context") {
                    ("inputs", name) => out.push_str(&inputs[name]),
                    ("github", "token") => out.push('t'),
                    ("github", "action_path") => out.push_str(&self.action.to_string_lossy()),
                    ("runner", "temp") => out.push_str(&sandbox.path("temp").to_string_lossy()),
                    _ => panic!("nothing is known of {what}"),
                }
                out.push_str(rest);
            }
            out
        };
        assert_eq!(step["shell"], "sh");
        let mut command = Command::new("sh");
        let folder = step.get("working-directory").map_or_else(|| ".".to_owned(), filled);
        command.args(["-e", "-c", &filled(&step["run"])]).current_dir(sandbox.path("work").join(folder));
        for name in ["CARGO", "CI", "CARGO_MANIFEST_DIR"] {
            command.env_remove(name);
        }
        command.envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GITHUB_API_URL", api.address.as_str()),
            ("GITHUB_REPOSITORY", "maplock/demo"),
            ("GITHUB_BASE_REF", "main"),
        ]);
        command.env("GITHUB_ACTION_PATH", &self.action);
        for (name, file) in [
            ("GITHUB_EVENT_PATH", "event.json"),
            ("RUNNER_TEMP", "temp"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("GITHUB_OUTPUT", "output"),
        ] {
            command.env(name, sandbox.path(file));
        }
        for (name, value) in step["env"].as_mapping().into_iter().flatten() {
            command.env(name.as_str().expect("a name"), filled(value));
        }
        command
    }

    /// The check, with programs that are there.
    fn act(&self, api: &Api, given: &[(&str, &str)]) -> (Output, BTreeMap<&'static str, String>) {
        install(&self.temp().join("maplock/bin"));
        self.check(api, given)
    }

    fn check(&self, api: &Api, given: &[(&str, &str)]) -> (Output, BTreeMap<&'static str, String>) {
        let sandbox = &self.sandbox;
        sandbox.write("event.json", r#"{ "pull_request": { "number": 7, "head": { "sha": "abc123" } } }"#);
        for name in ["summary", "output"] {
            sandbox.write(name, "");
        }
        let output = self.run("Check", api, given).output().expect("the script runs");
        let outputs = BTreeMap::from([("summary", sandbox.read("summary")), ("output", sandbox.read("output"))]);
        (output, outputs)
    }

    /// Whose configuration asks for a comparison with each release. One is tagged, on a branch of its own: from its `stats`, no epoch leads.
    fn across_all() -> Self {
        let project = Self::with(|sandbox| {
            sandbox.write("maplock.toml", "releases = \"v*\"\nacross = \"all\"\n");
            sandbox.git("add --all");
            sandbox.git("commit --quiet -m begin");
            sandbox.git("checkout --quiet -b release");
            assert_eq!(sandbox.run(&format!("init --object {}", object("v3"))).code, Some(0));
            sandbox.git("add --all");
            sandbox.git("commit --quiet -m v0");
            sandbox.git("tag --annotate v0 -m v0");
            sandbox.git("checkout --quiet main");
        });
        project.checkout();
        project
    }

    /// What git says in the clone.
    fn git(&self, args: &[&str]) -> String {
        let said = Command::new("git").args(args).current_dir(self.sandbox.path("work")).output().expect("git runs");
        String::from_utf8(said.stdout).expect("UTF-8")
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
    let label = [("label", "breaks maps")];
    let (output, files) = project.act(&api, &label);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    assert!(text(&output).contains("::error file=maps.lock,line="), "{}", text(&output));
    assert!(files["summary"].starts_with("### maplock: maps.lock against origin/main: "), "{}", files["summary"]);
    assert!(files["output"].starts_with("sarif=") && files["output"].contains("result=breaks"), "{}", files["output"]);
    let sarif: Value = serde_json::from_str(&project.sandbox.read("temp/maplock.sarif")).expect("JSON");
    assert!(sarif["runs"][0]["results"].as_array().is_some_and(|results| !results.is_empty()));
    let comments = api.comments();
    assert!(comments.len() == 1 && comments[0].contains("**refuse**"), "{comments:?}");
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

/// The branch itself is named first, against which nothing breaks.
#[test]
fn the_status_says_what_fails_whatever_else_is_compared() {
    let (project, api) = (Project::new(), Api::start(true));
    project.v3(false);
    project.checkout();
    let (output, files) = project.act(&api, &[("against", "change main")]);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    let worst = "maps.lock against origin/main: pinned state of map `stats` would be misread or lost";
    let status = &api.asked("POST /statuses/abc123")[0];
    assert_eq!((&status["state"], &status["description"]), (&json!("failure"), &json!(worst)));
    assert!(files["summary"].starts_with(&format!("### maplock: {worst}\n")), "{}", files["summary"]);
    assert!(files["summary"].contains("against origin/change: "), "{}", files["summary"]);
}

#[test]
fn a_token_that_may_only_read_is_no_failure() {
    let (project, api) = (Project::new(), Api::start(false));
    project.v3(true);
    project.checkout();
    let (output, files) = project.act(&api, &[("label", "x")]);
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
    let lenient = ("fail", "false");
    let (output, files) = project.act(&api, &[lenient, ("against", "v9")]);
    assert_eq!(output.status.code(), Some(101), "{}", text(&output));
    assert!(text(&output).contains("origin has no branch, tag or commit `v9`"), "{}", text(&output));
    assert!(files["output"].contains("result=not-compared"), "{}", files["output"]);
    // A lock that can't be read.
    project.sandbox.write("maps.lock", "version = 99\n");
    project.checkout();
    let (output, files) = project.act(&api, &[lenient]);
    assert_eq!(output.status.code(), Some(101), "{}", text(&output));
    assert!(files["summary"].contains("nothing was compared"), "{}", files["summary"]);
    let wrong = [lenient, ("arguments", "--no-such-option")];
    let (output, files) = project.act(&api, &wrong);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(files["summary"].contains("nothing was compared (exit code 2)"), "{}", files["summary"]);
    let states: Vec<_> = api.asked("POST /statuses/abc123").iter().map(|status| status["state"].clone()).collect();
    assert_eq!(states, ["error", "error", "error"]);
}

#[test]
fn releases_that_the_configuration_names_are_fetched_before_they_are_compared() {
    let (project, api) = (Project::across_all(), Api::start(true));
    assert_eq!(project.git(&["tag"]), "");
    let (output, files) = project.act(&api, &[]);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    assert!(files["summary"].contains("maps.lock against v0: "), "{}", files["summary"]);
    assert_eq!(project.git(&["tag"]), "v0\n");
    assert_eq!(project.git(&["rev-list", "--count", "HEAD", "v0"]), "2\n", "no more than is compared");
    // Whoever does not ask for it gets no tag.
    let project = Project::new();
    project.sandbox.git("push --quiet remote.git HEAD:refs/tags/v0");
    project.checkout();
    let (output, _) = project.act(&api, &[]);
    assert_eq!((output.status.code(), project.git(&["tag"]).as_str()), (Some(0), ""), "{}", text(&output));
}

#[test]
fn a_break_can_be_told_without_failing() {
    let (project, api) = (Project::new(), Api::start(true));
    project.v3(false);
    project.checkout();
    let (output, _) = project.act(&api, &[("fail", "false"), ("comment", "false")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!((api.comments().len(), api.asked("GET /issues/7/comments").len()), (0, 0));
    assert_eq!(api.asked("POST /statuses/abc123")[0]["state"], "failure");
}

const MANIFEST: &str = "[package]\nname = \"mesh\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n";

#[test]
fn the_commands_that_a_comment_offers_are_those_of_the_project() {
    let with_cargo = |dir: &'static str| {
        move |sandbox: &Sandbox| {
            sandbox.write(&format!("{dir}Cargo.toml"), MANIFEST);
            sandbox.write(&format!("{dir}src/lib.rs"), "");
        }
    };
    let configured = |sandbox: &Sandbox| sandbox.write("go/maplock.toml", "lock = \"../maps.lock\"\n");
    let below: &[(&str, &str)] = &[("working-directory", "go")];
    let both = |sandbox: &Sandbox| {
        with_cargo("")(sandbox);
        configured(sandbox);
    };
    type Case<'a> = (&'a dyn Fn(&Sandbox), &'a [(&'a str, &'a str)], bool);
    let cases: [Case<'_>; 6] = [
        (&|_| {}, &[], false),
        (&with_cargo(""), &[], true),
        (&with_cargo(""), &[("arguments", "-p mesh")], true),
        // Of another part of the repository.
        (&with_cargo("tools/"), &[], false),
        (&configured, below, false),
        // The nearest counts.
        (&both, below, false),
    ];
    for (setup, inputs, is_by_cargo) in cases {
        let (project, api) = (Project::with(setup), Api::start(true));
        project.v3(false);
        project.checkout();
        let (output, _) = project.act(&api, inputs);
        assert_eq!(output.status.code(), Some(100), "{}", text(&output));
        let comments = api.comments();
        let offered: Vec<_> = comments[0].match_indices("maplock accept stats ").collect();
        assert!(!offered.is_empty(), "{comments:?}");
        for (at, _) in offered {
            assert_eq!(comments[0][..at].ends_with("cargo "), is_by_cargo, "{comments:?}");
        }
        // Nor by a path of the runner.
        assert!(!comments[0].contains("/maplock ") && !comments[0].contains("cargo-maplock"), "{comments:?}");
    }
}

/// The first step, by the real cargo, of a user whose repository and job choose another compiler, another target and other flags. What
/// it builds stands for the programs, which are built in minutes: two of the same names, which call those.
#[test]
fn the_action_is_built_by_itself_whatever_the_project_asks_of_cargo() {
    let mut project = Project::with(|sandbox| {
        sandbox.write("rust-toolchain.toml", "[toolchain]\nchannel = \"none-such\"\n");
        sandbox
            .write(".cargo/config.toml", "[build]\ntarget = \"bpfel-unknown-none\"\nrustflags = [\"--none-such\"]\n");
    });
    let action = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        let path = action.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"cli\"]\n".to_owned());
    write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"cargo-maplock\"\nversion = \"0.0.0\"\n".to_owned());
    // As ours declares them.
    let manifest = fs::read_to_string(repository().join("cli/Cargo.toml")).expect("a manifest");
    let bins = manifest.split("\n[[bin]]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a program");
    write(
        "cli/Cargo.toml",
        format!("[package]\nname = \"cargo-maplock\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[[bin]]\n{bins}\n"),
    );
    for (file, program) in [
        ("cli/src/main.rs", env!("CARGO_BIN_EXE_cargo-maplock")),
        ("cli/src/bin/maplock.rs", env!("CARGO_BIN_EXE_maplock")),
    ] {
        write(
            file,
            format!(
                "use std::os::unix::process::CommandExt;\nfn main() {{\n    let mut args = std::env::args_os();\n    \
                 let mut command = std::process::Command::new({program:?});\n    \
                 panic!(\"{{}}\", command.arg0(args.next().unwrap()).args(args).exec());\n}}\n"
            ),
        );
    }
    fs::create_dir(action.path().join("ci")).expect("a folder");
    symlink(repository().join("ci/github"), action.path().join("ci/github")).expect("a link");
    action.path().clone_into(&mut project.action);
    let api = Api::start(true);
    project.v3(true);
    project.checkout();
    project.temp();
    let mut build = project.run("Build maplock", &api, &[]);
    build.envs([
        ("RUSTFLAGS", "--none-such"),
        ("CARGO_BUILD_TARGET", "bpfel-unknown-none"),
        ("CARGO_TARGET_DIR", "/none-such"),
        ("RUSTUP_TOOLCHAIN", "none-such"),
        ("CARGO_NET_OFFLINE", "true"),
    ]);
    // A job may use it twice.
    for _ in 0..2 {
        let built = build.output().expect("sh runs");
        assert!(built.status.success(), "{}", text(&built));
    }
    let (output, files) = project.check(&api, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(files["output"].contains("result=compatible"), "{}", files["output"]);
}

/// Both programs, first on the PATH.
fn path_with_tool(sandbox: &Sandbox) -> String {
    install(&sandbox.path("bin"));
    format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").expect("a path"))
}

/// The job that is written for GitLab, and what runs its script in the clone as a runner does: one shell, which ends at the first line that
/// fails.
fn gitlab(project: &Project) -> (Yaml, impl Fn() -> Output) {
    let path = path_with_tool(&project.sandbox);
    assert_eq!(project.sandbox.run("init --lock maps.lock --add gitlab").code, Some(0));
    let job: Yaml = serde_yaml_ng::from_str(&project.sandbox.read(".gitlab/maplock.yml")).expect("YAML");
    let job = job["maplock"].clone();
    let lines = job["script"].as_sequence().expect("a list").iter().map(|line| line.as_str().expect("a text"));
    let script = lines.collect::<Vec<_>>().join("\n");
    let work = project.sandbox.path("work");
    let run = move || {
        let mut shell = Command::new("bash");
        shell.args(["-eo", "pipefail", "-c", &script]).current_dir(&work).env("PATH", &path);
        shell.env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main").env_remove("CI");
        shell.output().expect("bash runs")
    };
    (job, run)
}

#[test]
fn the_job_for_gitlab_fetches_releases_that_the_configuration_names() {
    let project = Project::across_all();
    let output = gitlab(&project).1();
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    assert!(text(&output).contains("maps.lock against v0: "), "{}", text(&output));
}

#[test]
fn the_job_for_gitlab_makes_its_reports_and_fails_by_its_last_line() {
    let project = Project::new();
    let (job, run) = gitlab(&project);
    // Without a target, there would be nothing to compare with.
    let [rule] = &job["rules"].as_sequence().expect("rules")[..] else { panic!("one rule: {:?}", job["rules"]) };
    assert_eq!(rule["if"], "$CI_PIPELINE_SOURCE == \"merge_request_event\"");
    assert!(job["image"].as_str().is_some_and(|image| !image.is_empty()), "{job:?}");
    // What is broken is told, too.
    assert_eq!(job["artifacts"]["when"], "always");
    let reports = job["artifacts"]["reports"].as_mapping().expect("reports").clone();
    let reports: BTreeMap<_, _> = reports.iter().map(|(kind, file)| (kind.as_str().expect("a kind"), file)).collect();
    assert_eq!(reports.keys().copied().collect::<Vec<_>>(), ["codequality", "junit"]);
    let report = |kind: &str| project.sandbox.read(&format!("work/{}", reports[kind].as_str().expect("a file")));
    for (is_accepted, code) in [(false, 100), (true, 0)] {
        project.v3(is_accepted);
        project.checkout();
        let output = run();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        let quality = report("codequality");
        let issues: Value = serde_json::from_str(&quality).expect("JSON");
        let is_critical = |issue: &Value| issue["severity"] == "critical";
        assert_eq!(issues.as_array().expect("a list").iter().any(is_critical), !is_accepted, "{quality}");
        assert!(report("junit").contains("<testsuites name=\"maplock\""));
    }
}

#[test]
fn the_hook_stops_a_commit_whose_lock_is_behind() {
    if Command::new("pre-commit").arg("--version").output().is_err() {
        let missing = "pre-commit (.ci/packages has the names)";
        assert!(std::env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "needs {missing}");
        println!("skipped: needs {missing}");
        return;
    }
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
    let run = |program: &str, line: &str| {
        let mut command = support::tool_at(program);
        command.args(support::words(line)).current_dir(sandbox.path("")).env("PATH", &path).env_remove("CARGO");
        // What it keeps, it keeps here. It gets nothing: the hook is of `language: system`.
        command.env("PRE_COMMIT_HOME", sandbox.path(".git/pre-commit")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.output().expect("it runs")
    };
    let commit = || {
        sandbox.git("add --all");
        run("git", "commit --quiet --allow-empty -m x")
    };
    let installed = run("pre-commit", "install");
    assert!(installed.status.success(), "{}", text(&installed));
    // The hook that `init` writes, and that of this repository, from a clone of it.
    let hooks = tempfile::tempdir().expect("a directory");
    fs::copy(repository().join(".pre-commit-hooks.yaml"), hooks.path().join(".pre-commit-hooks.yaml")).expect("a file");
    let own = sandbox.read(".pre-commit-config.yaml");
    let shared = format!("repos:\n  - repo: {}\n    rev: v1\n    hooks: [{{ id: maplock }}]\n", hooks.path().display());
    for line in ["init --quiet", "add --all", "-c user.name=x -c user.email=x commit --quiet -m x", "tag v1"] {
        let done = run("git", &format!("-C {} {line}", hooks.path().display()));
        assert!(done.status.success(), "{}", text(&done));
    }
    let mut entries = 8;
    for config in [own, shared] {
        sandbox.write(".pre-commit-config.yaml", config);
        let passed = commit();
        assert!(passed.status.success(), "{}", text(&passed));
        assert!(
            text(&passed).contains("maps.lock is up to date") && text(&passed).contains("Passed"),
            "{}",
            text(&passed)
        );
        entries *= 2;
        compile(&sandbox, "flows.o", &map(&entries.to_string()));
        let refused = commit();
        assert!(!refused.status.success());
        assert!(text(&refused).contains("maps.lock is out of date"), "{}", text(&refused));
        assert_eq!(sandbox.run("update").code, Some(0));
        assert!(commit().status.success());
    }
}
