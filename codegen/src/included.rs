//! Whether a source of the package includes the generated module.

use std::fs;
use std::path::Path;

/// True if a `.rs` file of the package includes `OUT_DIR/NAME.rs`, by `include!` or `include_maps!`. It reads texts, not Rust: a macro
/// may hide an include from it. Then the build script fails the build where the module would have.
pub(crate) fn is_included(package: &Path, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(package) else { return false };
    entries.flatten().any(|entry| {
        let (path, file_name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { return false };
        if kind.is_dir() {
            let hidden = file_name.as_encoded_bytes().starts_with(b".");
            // A folder with a manifest is another package, and `target` has what was generated.
            return !hidden && file_name != "target" && !path.join("Cargo.toml").exists() && is_included(&path, name);
        }
        path.extension().is_some_and(|extension| extension == "rs")
            && file_name != "build.rs"
            && fs::read_to_string(&path).is_ok_and(|text| includes(&text, name))
    })
}

fn includes(text: &str, name: &str) -> bool {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code: String = code.split_whitespace().collect();
    let default = name == "maps" && code.contains("include_maps!()");
    default
        || code.contains(&format!("include_maps!(\"{name}\")"))
        || (code.contains("include!(") && code.contains(&format!("/{name}.rs\"")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{includes, is_included};

    #[test]
    fn each_way_to_include_it_is_found() {
        for text in [
            "mod maps {\n    include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));\n}",
            "include!(\n    concat!(env!(\"OUT_DIR\"),\n    \"/maps.rs\")\n);",
            "maplock::include_maps!();",
            "maplock::include_maps! ( \"maps\" );",
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
        ] {
            assert!(!includes(text, "maps"), "{text}");
        }
        assert!(!includes("maplock::include_maps!();", "flowtop"));
    }

    #[test]
    fn other_packages_and_what_was_built_do_not_count() {
        let package = tempfile::tempdir().expect("a folder for temporary files");
        let write = |path: &str, text: &str| {
            let path = package.path().join(path);
            fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder for it");
            fs::write(path, text).expect("a file in it");
        };
        let include = "maplock::include_maps!();";
        write("build.rs", include);
        write("target/debug/build/maps.rs", include);
        write("inner/Cargo.toml", "");
        write("inner/src/lib.rs", include);
        assert!(!is_included(package.path(), "maps"));
        write("src/node/state.rs", include);
        assert!(is_included(package.path(), "maps"));
    }
}
