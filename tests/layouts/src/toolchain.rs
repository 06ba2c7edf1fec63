//! Compilers, and the objects that they make of the fixtures.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, io};

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package is two folders down").to_owned()
}

/// Says, past the test harness's capture, that a test has not run for want of something; fails where
/// `MAPLOCK_REQUIRE_KERNEL=1` says that everything is installed.
///
/// # Panics
/// Where that variable is set.
pub fn skip(needs: &str) {
    assert!(env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "needs {needs}");
    _ = writeln!(io::stderr(), "skipped: needs {needs}");
}

/// Runs a command that must succeed.
///
/// # Panics
/// Where it does not, with what it said.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// A program of a package of this tree, built as tests are.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn built(package: &str, program: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-q", "-p", package, "--message-format=json"]).current_dir(root());
    let messages = String::from_utf8(run(&mut command).stdout).expect("cargo prints JSON");
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let built = executables.find(|path| file_name(path) == program);
    built.unwrap_or_else(|| panic!("package `{package}` has no program `{program}`"))
}

/// True where a program is installed.
#[must_use]
pub fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Byte order of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `-target bpf` on this machine's kind.
    Little,
    /// `-target bpfeb`.
    Big,
}

impl Order {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Little, Self::Big];

    /// The name of clang's target.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::Little => "bpfel",
            Self::Big => "bpfeb",
        }
    }
}

/// An installed clang.
#[derive(Debug, Clone)]
pub struct Clang {
    /// Its major version.
    pub version: u32,
    program: String,
}

impl Clang {
    /// All that are installed, oldest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut found: Vec<_> = (11..30).map(|version| format!("clang-{version}")).filter_map(Self::of).collect();
        if let Some(plain) =
            Self::of("clang".to_owned()).filter(|plain| found.iter().all(|of| of.version != plain.version))
        {
            found.push(plain);
        }
        found.sort_by_key(|clang| clang.version);
        found
    }

    /// All that are installed; where these are fewer than `count`, the test is skipped.
    #[must_use]
    pub fn at_least(count: usize) -> Option<Vec<Self>> {
        let all = Self::all();
        if all.len() < count {
            skip(if count == 1 {
                "clang (apt-get install clang-16)"
            } else {
                "two clangs (apt-get install clang-14 clang-16)"
            });
            return None;
        }
        Some(all)
    }

    /// The newest one; where there is none, the test is skipped.
    #[must_use]
    pub fn newest() -> Option<Self> {
        Self::at_least(1)?.pop()
    }

    fn of(program: String) -> Option<Self> {
        let output = Command::new(&program).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split("version ").nth(1)?.split('.').next()?.parse().ok()?;
        Some(Self { version, program })
    }

    /// A command line of this compiler.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// Compiles `source` to the object `out`.
    pub fn compile(&self, order: Order, source: &Path, out: &Path) {
        let mut command = self.command();
        command.args(["-target", order.target(), "-O2", "-g", "-Wno-everything", "-I"]).arg(root().join("bpf/include"));
        run(command.arg("-c").arg(source).arg("-o").arg(out));
    }
}

/// A C file of `bpf/fixtures`.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Its name, without `.bpf.c`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The oldest clang that makes of it what is meant.
    pub oldest_clang: u32,
    /// True where libbpf does not open its object.
    pub libbpf_refuses: bool,
}

impl Fixture {
    /// All of them, by name.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let folder = root().join("bpf/fixtures");
        let mut all: Vec<_> = files(&folder, ".bpf.c").into_iter().map(Self::read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(all.len() >= 30, "only {} fixtures in {}", all.len(), folder.display());
        all
    }

    /// The one of that name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::read(root().join("bpf/fixtures").join(format!("{name}.bpf.c")))
    }

    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let marks = || text.lines().map_while(|line| line.strip_prefix("// "));
        let oldest = marks().find_map(|line| line.strip_prefix("clang >= ")).map(|version| {
            version.trim().parse().unwrap_or_else(|_| panic!("{}: `clang >= {version}`", path.display()))
        });
        Self {
            name: file_name(&path).trim_end_matches(".bpf.c").to_owned(),
            oldest_clang: oldest.unwrap_or(0),
            libbpf_refuses: marks().any(|line| line.starts_with("libbpf refuses:")),
            path,
        }
    }

    /// Compiles it into `folder`, unless this clang is too old for it.
    #[must_use]
    pub fn compile(&self, clang: &Clang, order: Order, folder: &Path) -> Option<PathBuf> {
        if clang.version < self.oldest_clang {
            return None;
        }
        let out = folder.join(format!("{}.clang{}.{}.o", self.name, clang.version, order.target()));
        clang.compile(order, &self.path, &out);
        Some(out)
    }
}

/// The files under `folder`, at any depth, whose names end in `ending`; sorted.
#[must_use]
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            } else if file_name(&path).ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The last part of a path.
#[must_use]
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The newest llvm-objcopy; where there is none, the test is skipped.
#[must_use]
pub fn objcopy() -> Option<String> {
    let names = (11..30).rev().map(|version| format!("llvm-objcopy-{version}"));
    let found = names.chain(["llvm-objcopy".to_owned()]).find(|name| has(name));
    if found.is_none() {
        skip("llvm-objcopy (apt-get install llvm-16)");
    }
    found
}
