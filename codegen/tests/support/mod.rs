//! Throw-away Cargo projects with a real build script in them.
#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;
use std::{env, io};

use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the repository")
}

/// Where everything that these tests build is; kept from run to run, so that `maplock-codegen` is compiled once.
pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects-target")
}

/// Says, past the test harness's capture, that a test has not run for want of something; fails where
/// `MAPLOCK_REQUIRE_KERNEL=1` says that everything is installed.
pub(crate) fn skip(needs: &str) {
    assert!(env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "needs {needs}");
    _ = writeln!(io::stderr(), "skipped: needs {needs}");
}

/// A clang that compiles what the fixtures hold; where there is none, the test is skipped.
pub(crate) fn clang() -> Option<String> {
    let is_there = |name: &String| Command::new(name).arg("--version").output().is_ok();
    let found = (16..30).map(|version| format!("clang-{version}")).chain(["clang".to_owned()]).find(is_there);
    if found.is_none() {
        skip("clang (apt-get install clang-16)");
    }
    found
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Compiles a C file of the repository for eBPF.
pub(crate) fn compile_for_bpf(clang: &str, source: &str, object: &Path) {
    let mut command = Command::new(clang);
    command.current_dir(root()).args(["-target", "bpfel", "-O2", "-g", "-Wno-everything", "-I", "bpf/include"]);
    run(command.args(["-c", source, "-o"]).arg(object));
}

/// A package in a folder of its own that depends on this repository's `maplock-codegen`.
#[derive(Debug)]
pub(crate) struct Project {
    folder: PathBuf,
    /// Keeps a folder that is removed in the end.
    _guard: Option<tempfile::TempDir>,
}

impl Project {
    /// A folder of this name, which stays from run to run and starts empty.
    pub(crate) fn kept(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("a folder of the tests alone");
        }
        Self::new(folder, None)
    }

    /// A folder outside of any workspace, which is removed in the end.
    pub(crate) fn temporary() -> Self {
        let guard = tempfile::tempdir().expect("a folder for temporary files");
        let folder = guard.path().canonicalize().expect("it is there");
        Self::new(folder, Some(guard))
    }

    fn new(folder: PathBuf, guard: Option<tempfile::TempDir>) -> Self {
        let project = Self { folder, _guard: guard };
        // The versions of the dependencies that are at hand without a network.
        project.copy("Cargo.lock", "Cargo.lock");
        project
    }

    /// A path in it.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a file, unless it says `text` already.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is in the project")).expect("a folder for it");
        if fs::read(&path).ok().as_deref() != Some(text.as_ref()) {
            fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        self
    }

    /// Copies a file of the repository.
    pub(crate) fn copy(&self, from: &str, to: &str) -> &Self {
        let from = root().join(from);
        self.write(to, fs::read(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display())))
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, path: &str) -> &Self {
        _ = fs::remove_file(self.path(path));
        self
    }

    /// The text of a file.
    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Changes a part of a file's text.
    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = self.read(path);
        assert!(text.contains(from), "{path} does not say `{from}`");
        self.write(path, text.replace(from, to))
    }

    /// Writes a file anew with what it says, as editors and version control do.
    pub(crate) fn touch(&self, path: &str) -> &Self {
        let path = self.path(path);
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(&path, text).expect("what was read can be written");
        self
    }

    /// When each of its files was written.
    pub(crate) fn times(&self) -> BTreeMap<PathBuf, SystemTime> {
        times(&self.folder)
    }

    /// `cargo build`, as a person at a terminal runs it.
    pub(crate) fn build(&self) -> Build {
        self.cargo("build").run()
    }

    /// `cargo build` with one environment variable set.
    pub(crate) fn build_with(&self, name: &str, value: impl AsRef<OsStr>) -> Build {
        self.cargo("build").env(name, value).run()
    }

    /// Any other command of Cargo's.
    pub(crate) fn cargo(&self, verb: &str) -> Cargo<'_> {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(&self.folder).arg(verb).arg("--offline").arg("--target-dir").arg(target_dir());
        // Nothing that changes a build may leak in from whoever runs the tests, CI least of all.
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            command.envs(env::var_os(name).map(|value| (name, value)));
        }
        command.envs([("CARGO_TERM_COLOR", "never"), ("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
        Cargo { command, folder: &self.folder }
    }
}

/// A command of Cargo's that is yet to run.
#[derive(Debug)]
pub(crate) struct Cargo<'a> {
    command: Command,
    folder: &'a Path,
}

impl Cargo<'_> {
    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Runs it. Diagnostics are rendered for a person, and everything else that Cargo reports is JSON.
    pub(crate) fn run(self) -> Build {
        self.arg("--message-format=json-render-diagnostics").run_as_it_is()
    }

    /// Runs it without another argument.
    pub(crate) fn run_as_it_is(mut self) -> Build {
        let output = self.command.output().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let stderr = String::from_utf8(output.stderr).expect("Cargo writes UTF-8");
        let stdout = String::from_utf8(output.stdout).expect("Cargo writes UTF-8");
        let json = stdout.lines().filter(|line| line.starts_with('{'));
        let messages = json.map(|line| serde_json::from_str(line).expect("JSON by the line")).collect();
        let folder = self.folder.to_owned();
        let mut build = Build { is_success: output.status.success(), stderr, stdout, messages, folder, runs: 0 };
        build.runs = build
            .find_out_dir()
            .map_or(0, |out_dir| fs::read_to_string(out_dir.join("runs")).unwrap_or_default().lines().count());
        build
    }
}

/// What a command of Cargo's did.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) is_success: bool,
    stderr: String,
    /// What it wrote for programs.
    pub(crate) stdout: String,
    messages: Vec<Value>,
    folder: PathBuf,
    /// How often the build script had run in all, in this build and before: each run leaves a line in `OUT_DIR/runs`.
    pub(crate) runs: usize,
}

impl Build {
    /// What a person sees of it, but for the progress, with the folders' names replaced.
    pub(crate) fn told(&self) -> String {
        let lines = self.stderr.lines().filter(|line| !is_progress(line));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        self.without_folders(text.trim())
    }

    fn without_folders(&self, text: &str) -> String {
        let text = text.replace(&target_dir().display().to_string(), "[target]");
        without_hashes(&text.replace(&self.folder.display().to_string(), "[project]"))
    }

    /// Makes sure that it succeeded.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.is_success, "the build fails:\n{}", self.stderr);
        self
    }

    /// Makes sure that it succeeded without a word.
    #[track_caller]
    pub(crate) fn succeeds_silently(self) -> Self {
        let build = self.succeeds();
        assert_eq!(build.told(), "");
        build
    }

    /// Makes sure that it succeeded with a warning that holds these words.
    #[track_caller]
    pub(crate) fn warns(self, words: &str) -> Self {
        let build = self.succeeds();
        assert!(build.told().lines().any(|line| line.starts_with("warning: ")), "no warning:\n{}", build.stderr);
        assert!(build.told().contains(words), "not `{words}`, but:\n{}", build.told());
        build
    }

    /// Makes sure that it failed with one error of the compiler's and no other, and with these words.
    #[track_caller]
    pub(crate) fn fails(self, words: &str) -> Self {
        let told = self.told();
        assert!(!self.is_success, "the build succeeds:\n{told}");
        assert!(told.contains("due to 1 previous error"), "not one error:\n{told}");
        assert!(told.contains(words), "not `{words}`, but:\n{told}");
        self
    }

    /// Makes sure that its build script failed, and said these words as they are.
    #[track_caller]
    pub(crate) fn fails_in_the_script(self, words: &str) -> Self {
        assert!(!self.is_success, "the build succeeds:\n{}", self.stderr);
        assert!(self.stderr.contains("failed to run custom build command"), "not the script:\n{}", self.stderr);
        // Cargo indents what the script says.
        let flat = |text: &str| text.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
        let (stderr, words) = (flat(&self.stderr), flat(words));
        assert!(stderr.contains(&words), "not `{words}`, but:\n{stderr}");
        self
    }

    /// The messages of a kind, such as `compiler-artifact`.
    pub(crate) fn messages<'a>(&'a self, reason: &'static str) -> impl Iterator<Item = &'a Value> {
        self.messages.iter().filter(move |message| message["reason"] == reason)
    }

    /// `OUT_DIR` of the build script of the project's one package.
    pub(crate) fn out_dir(&self) -> PathBuf {
        self.find_out_dir().unwrap_or_else(|| panic!("no build script ran:\n{}", self.stderr))
    }

    fn find_out_dir(&self) -> Option<PathBuf> {
        let folder = self.folder.display().to_string();
        // An id has the path as a URL.
        let is_own = |message: &&Value| {
            message["package_id"].as_str().is_some_and(|id| id.replace("%20", " ").contains(&folder))
        };
        let message = self.messages("build-script-executed").find(is_own)?;
        Some(PathBuf::from(message["out_dir"].as_str()?))
    }

    /// The text of a file in `OUT_DIR`.
    pub(crate) fn generated(&self, name: &str) -> String {
        let path = self.out_dir().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// True where nothing at all was compiled.
    pub(crate) fn is_fresh(&self) -> bool {
        assert!(self.messages("compiler-artifact").count() > 2, "{:?}", self.messages);
        self.messages("compiler-artifact").all(|message| message["fresh"] == true)
    }
}

/// When each file below a folder was written.
pub(crate) fn times(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("it was there a moment ago").path();
            let metadata = fs::metadata(&path).expect("it was there a moment ago");
            if metadata.is_dir() {
                waiting.push(path);
            } else {
                found.insert(path, metadata.modified().expect("this system keeps times"));
            }
        }
    }
    found
}

/// True for Cargo's `   Compiling minimesh v0.1.0 (..)`.
fn is_progress(line: &str) -> bool {
    let Some((verb, _)) = line.split_at_checked(12).filter(|(_, rest)| rest.starts_with(' ')) else { return false };
    let verb = verb.trim_start();
    verb.starts_with(|c: char| c.is_ascii_uppercase()) && verb.chars().all(|c| c.is_ascii_alphabetic())
}

/// `minimesh-0123456789abcdef` to `minimesh-[hash]`.
fn without_hashes(text: &str) -> String {
    let is_hash = |part: &str| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = text.split('-').map(|part| match part.split_at_checked(16) {
        Some((hash, rest)) if is_hash(hash) => format!("[hash]{rest}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("-")
}

/// Lets a script be run.
pub(crate) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a script of the tests' own");
}
