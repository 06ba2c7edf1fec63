//! Compiling C for eBPF with clang.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one run of clang made.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The object.
    pub(crate) object: PathBuf,
    /// Every file that the compiler read.
    pub(crate) dependencies: Vec<PathBuf>,
}

/// Newest first, as Debian calls them; a plain `clang` goes before all of them.
const VERSIONS: std::ops::RangeInclusive<u32> = 12..=25;

/// Compiles `source`, a path relative to `dir`, to `out_dir/NAME.bpf.o`.
pub(crate) fn compile(
    dir: &Path,
    source: &Path,
    name: &str,
    out_dir: &Path,
    args: &[OsString],
) -> Result<Compiled, String> {
    let clang = find()?;
    let object = out_dir.join(format!("{name}.bpf.o"));
    let depfile = out_dir.join(format!("{name}.bpf.d"));
    let big = env::var("CARGO_CFG_TARGET_ENDIAN").is_ok_and(|endian| endian == "big");
    let mut command = Command::new(&clang);
    command.current_dir(dir).args(["-target", if big { "bpfeb" } else { "bpfel" }, "-O2", "-g", "-Wall"]);
    // `-target bpf` leaves out the directory of the machine's own architecture, where Debian keeps <asm/types.h>.
    if let Some(triple) = multiarch() {
        command.arg("-idirafter").arg(Path::new("/usr/include").join(triple));
    }
    command.args(args).arg("-MD").arg("-MF").arg(&depfile).arg("-c").arg(source).arg("-o").arg(&object);
    let output =
        command.output().map_err(|error| format!("{clang} could not be started ({error}); {}", how_to_install()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        if stderr.contains("unable to create target") || stderr.contains("nknown target triple") {
            return Err(format!("{clang} was built without the BPF target; {}", how_to_install()));
        }
        return Err(format!("{clang} failed on {}:\n{}", source.display(), stderr.trim_end()));
    }
    for line in stderr.lines() {
        println!("cargo::warning={line}");
    }
    let text = std::fs::read_to_string(&depfile).map_err(|error| format!("{}: {error}", depfile.display()))?;
    let dependencies = prerequisites(&text).into_iter().map(|path| dir.join(path)).collect();
    Ok(Compiled { object, dependencies })
}

fn how_to_install() -> &'static str {
    "install clang 14 or newer (Debian: `apt-get install clang`), or name one in the environment variable CLANG"
}

fn find() -> Result<String, String> {
    // Templates of CI systems set what they don't use to nothing.
    if let Some(clang) = env::var("CLANG").ok().filter(|clang| !clang.is_empty()) {
        return Ok(clang);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let versioned = VERSIONS.rev().map(|version| format!("clang-{version}"));
    std::iter::once("clang".to_owned())
        .chain(versioned)
        .find(|name| is_there(name))
        .ok_or_else(|| format!("there is no clang in PATH; {}", how_to_install()))
}

/// Debian's name for the machine that the build runs on.
fn multiarch() -> Option<String> {
    let arch = match env::consts::ARCH {
        "x86" => "i386",
        arch => arch,
    };
    let triple = format!("{arch}-linux-gnu");
    Path::new("/usr/include").join(&triple).is_dir().then_some(triple)
}

/// The files that a rule of `make`, as clang writes it, names behind its colon.
fn prerequisites(depfile: &str) -> Vec<PathBuf> {
    let text = depfile.replace("\\\r\n", " ").replace("\\\n", " ");
    let Some((_, list)) = text.split_once(": ") else { return Vec::new() };
    let mut files = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(|next| matches!(next, ' ' | '#' | '\\')) => {
                let escaped = chars.next();
                files.last_mut().into_iter().for_each(|file| file.extend(escaped));
            }
            '$' if chars.peek() == Some(&'$') => {
                chars.next();
                files.last_mut().into_iter().for_each(|file| file.push('$'));
            }
            c if c.is_whitespace() => files.push(String::new()),
            c => files.last_mut().into_iter().for_each(|file| file.push(c)),
        }
    }
    files.into_iter().filter(|file| !file.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depfile_names_files_with_spaces_and_over_several_lines() {
        let text = "out.o: bpf/a.bpf.c \\\n  bpf/my\\ flow.h \\\n  /usr/include/x$$y.h\n";
        let expected: Vec<PathBuf> = ["bpf/a.bpf.c", "bpf/my flow.h", "/usr/include/x$y.h"].map(PathBuf::from).into();
        assert_eq!(prerequisites(text), expected);
    }
}
