//! Whether a source of the package includes the generated module.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of a package whose code is no part of what it ships.
const BESIDE: [&str; 3] = ["benches", "examples", "tests"];

/// The source of the package that includes `OUT_DIR/NAME.rs`, by `include!` or `include_maps!`. It reads texts, not Rust: a macro may hide
/// an include from it. Then the build script fails the build where the module would have.
pub(crate) fn includer(package: &Path, name: &str) -> Option<PathBuf> {
    below(package, name, &BESIDE)
}

fn below(folder: &Path, name: &str, beside: &[&str]) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let (path, file_name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            let hidden = file_name.as_encoded_bytes().starts_with(b".");
            let is_beside = beside.iter().any(|name| file_name == *name);
            // A folder with a manifest is another package, and `target` has what was generated.
            let is_other = hidden || is_beside || file_name == "target" || path.join("Cargo.toml").exists();
            return if is_other { None } else { below(&path, name, &[]) };
        }
        let is_source = path.extension().is_some_and(|extension| extension == "rs") && file_name != "build.rs";
        (is_source && fs::read_to_string(&path).is_ok_and(|text| includes(&text, name))).then_some(path)
    })
}

fn includes(text: &str, name: &str) -> bool {
    let code: String = without_comments(text).split_whitespace().collect();
    let default = name == "maps" && code.contains("include_maps!()");
    let file = format!("/{name}.rs\"");
    let mut included = code.split("include!(").skip(1);
    default
        || code.contains(&format!("include_maps!(\"{name}\")"))
        || included.any(|rest| argument(rest).contains(&file))
}

/// Up to the parenthesis that closes.
fn argument(rest: &str) -> &str {
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    &rest[..end.unwrap_or(rest.len())]
}

/// The text with its strings, and without what is said in comments.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            0
        } else if rest.starts_with("/*") {
            rest = behind_block(rest);
            0
        } else if rest.starts_with('"') {
            string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            1
        };
        out.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

/// What stands behind a comment that may hold others.
fn behind_block(text: &str) -> &str {
    let (mut rest, mut depth) = (&text[2..], 1);
    while depth > 0 {
        let Some(at) = rest.find("*/").into_iter().chain(rest.find("/*")).min() else { return "" };
        depth += if rest[at..].starts_with("/*") { 1 } else { -1 };
        rest = &rest[at + 2..];
    }
    rest
}

/// The length of a literal, with both quotes.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{includer, includes};

    #[test]
    fn each_way_to_include_it_is_found() {
        for text in [
            "mod maps {\n    include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));\n}",
            "include!(\n    concat!(env!(\"OUT_DIR\"),\n    \"/maps.rs\")\n);",
            "maplock::include_maps!();",
            "maplock::include_maps! ( \"maps\" );",
            "let quote = '\"'; // it's \"\nmaplock::include_maps!();",
            "const URL: &str = \"https://example\"; /* a /* b */ c */ maplock::include_maps!();",
        ] {
            assert!(includes(text, "maps"), "{text}");
        }
        assert!(includes("maplock::include_maps!(\"flowtop\");", "flowtop"));
    }

    #[test]
    fn a_comment_or_another_module_is_no_include() {
        for text in [
            "// include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));",
            "    /// maplock::include_maps!();\nfn main() {}",
            "maplock::include_maps!(\"flowtop\");",
            "include!(concat!(env!(\"OUT_DIR\"), \"/bindings.rs\"));",
            "include!(concat!(env!(\"OUT_DIR\"), \"/bindings.rs\")); const OTHER: &str = \"/maps.rs\";",
            "fn main() {} // maplock::include_maps!();",
            "/* maplock::include_maps!(); */",
            "/* /* */ maplock::include_maps!(); */",
        ] {
            assert!(!includes(text, "maps"), "{text}");
        }
        assert!(!includes("maplock::include_maps!();", "flowtop"));
    }

    #[test]
    fn other_packages_what_was_built_and_tests_do_not_count() {
        let package = tempfile::tempdir().expect("a folder for temporary files");
        let write = |path: &str, text: &str| {
            let path = package.path().join(path);
            fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder for it");
            fs::write(path, text).expect("a file in it");
        };
        let include = "maplock::include_maps!();";
        write("build.rs", include);
        write("target/debug/build/maps.rs", include);
        for beside in ["tests/maps.rs", "examples/watch/main.rs", "benches/read.rs"] {
            write(beside, include);
        }
        write("inner/Cargo.toml", "");
        write("inner/src/lib.rs", include);
        assert_eq!(includer(package.path(), "maps"), None);
        write("src/node/tests/state.rs", include);
        assert_eq!(includer(package.path(), "maps"), Some(package.path().join("src/node/tests/state.rs")));
    }
}
