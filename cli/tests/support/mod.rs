//! A directory to run the tool in, and transcripts of what it says there.
#![allow(dead_code, reason = "each test binary uses its part")]

#[cfg(target_os = "linux")]
pub(crate) mod browser;
#[cfg(target_os = "linux")]
pub(crate) mod node;
pub(crate) mod schemas;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Variables of the outside that would change what the tool or a build says.
const FOREIGN: [&str; 8] = [
    "CI",
    "MAPLOCK_LOCKED",
    "MAPLOCK_GATE",
    "DOCS_RS",
    "CLICOLOR_FORCE",
    "NO_COLOR",
    "CARGO_MANIFEST_DIR",
    "RUSTC_WRAPPER",
];

pub(crate) struct Sandbox {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

impl Ran {
    /// What one would have seen.
    pub(crate) fn tell(&self, command: &str, seen: &mut String) {
        _ = writeln!(seen, "$ {command}\n{}{}", self.stdout, self.stderr);
        if !seen.ends_with("\n\n") {
            seen.push('\n');
        }
        if self.code != Some(0) {
            seen.truncate(seen.trim_end().len());
            let code = self.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            _ = write!(seen, "\n[exit code {code}]\n\n");
        }
    }
}

/// The command that runs the tool.
pub(crate) fn tool() -> Command {
    tool_at(env!("CARGO_BIN_EXE_cargo-maplock"))
}

/// A command that sees nothing of the outside.
pub(crate) fn tool_at(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(path);
    FOREIGN.iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// The repository that the tests are part of.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ is in the repository").to_owned()
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("maplock-cli-").tempdir().expect("a temporary directory");
        Self { dir, environment: Vec::new() }
    }

    /// With the four releases of minimesh, objects and headers, where they are in the repository.
    pub(crate) fn with_minimesh() -> Self {
        let sandbox = Self::new();
        for release in ["v1", "v2", "v3", "v4"] {
            for file in ["minimesh.bpf.o", "minimesh.h"] {
                let path = format!("bpf/minimesh/{release}/{file}");
                let bytes = fs::read(repository().join(&path)).expect("committed objects");
                sandbox.write(&path, bytes);
            }
        }
        sandbox
    }

    /// A repository in which v1 was released, and the other releases wait.
    pub(crate) fn with_release() -> Self {
        let sandbox = Self::with_minimesh();
        sandbox.git_init();
        assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
        sandbox.release("v1");
        sandbox
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside of the sandbox")).expect("directory");
        fs::write(path, bytes).expect("write");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The tool in this directory, on a command line as one would type it.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.command_in("", line)
    }

    pub(crate) fn command_in(&self, dir: &str, line: &str) -> Command {
        let mut command = tool();
        command.args(words(line)).current_dir(self.path(dir)).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_in("", line)
    }

    pub(crate) fn run_in(&self, dir: &str, line: &str) -> Ran {
        self.ran(self.command_in(dir, line))
    }

    /// Runs a command; what it says of this directory reads `[DIR]`.
    pub(crate) fn ran(&self, mut command: Command) -> Ran {
        let output = command.output().expect("the tool runs");
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let dir = self.dir.path().canonicalize().expect("it exists");
            text.replace(&*dir.to_string_lossy(), "[DIR]").replace(&*self.dir.path().to_string_lossy(), "[DIR]")
        };
        // Tests share a target directory, in which one cargo waits for another now and then.
        let stderr = text(&output.stderr);
        let stderr = stderr.split_inclusive('\n').filter(|line| !line.contains("Blocking waiting for file lock"));
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: stderr.collect() }
    }

    /// Runs command lines one after the other, and tells what one would have seen.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        self.transcript_in("", lines)
    }

    pub(crate) fn transcript_in(&self, dir: &str, lines: &[&str]) -> String {
        let mut seen = String::new();
        lines.iter().for_each(|line| self.run_in(dir, line).tell(&format!("cargo maplock {line}"), &mut seen));
        seen
    }

    pub(crate) fn git(&self, line: &str) {
        let mut command = Command::new("git");
        command.args(words(line)).current_dir(self.dir.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.output().expect("git runs");
        assert!(output.status.success(), "git {line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn git_init(&self) {
        self.git("init --quiet --initial-branch=main");
        self.git("config user.name maplock");
        self.git("config user.email maplock@example.invalid");
    }

    /// Commits all there is, and tags it.
    pub(crate) fn release(&self, tag: &str) {
        self.git("add --all");
        self.git(&format!("commit --quiet --allow-empty -m {tag}"));
        self.git(&format!("tag {tag}"));
    }
}

/// Splits a command line at spaces, but for those in double quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words
}

/// The object of a release, relative to a sandbox.
pub(crate) fn object(release: &str) -> String {
    format!("bpf/minimesh/{release}/minimesh.bpf.o")
}

/// Compiles the declarations of maps in C to an object of the sandbox.
pub(crate) fn compile(sandbox: &Sandbox, name: &str, maps: &str) {
    const HEAD: &str = "\
typedef unsigned int __u32;
typedef unsigned long long __u64;
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define LIBBPF_PIN_BY_NAME 1
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4, BPF_MAP_TYPE_RINGBUF = 27 };
enum { BPF_MAP_TYPE_ARRAY_OF_MAPS = 12, BPF_MAP_TYPE_HASH_OF_MAPS = 13, BPF_F_NO_PREALLOC = 1 };
";
    compile_c(sandbox, name, &format!("{HEAD}{maps}"));
}

/// Compiles a whole source, which may include the headers of the repository.
pub(crate) fn compile_c(sandbox: &Sandbox, name: &str, text: &str) {
    let source = format!("{name}.c");
    sandbox.write(&source, text);
    let clang = ["clang-16", "clang", "clang-19", "clang-14"].into_iter().find(|clang| {
        let has = Command::new(clang).arg("--version").stdout(Stdio::null()).status();
        has.is_ok_and(|status| status.success())
    });
    let mut command = Command::new(clang.expect("a clang is installed"));
    command.args(["-target", "bpf", "-O2", "-g", "-I"]).arg(repository().join("bpf/include")).arg("-c");
    command.arg(sandbox.path(&source)).arg("-o").arg(sandbox.path(name));
    assert!(command.status().expect("clang runs").success(), "{text}");
    // What is said is not to depend on the path of the source.
    fs::remove_file(sandbox.path(&source)).expect("written above");
}
