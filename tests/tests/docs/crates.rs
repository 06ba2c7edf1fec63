//! Each package that is published shows a page of its own: what it is, for whom, and where the book is.

use std::fs;

use super::{blocks, toolchain};

/// The folders of the packages that are published: those that `.ci/run` packs. The main crate shows the README of the product.
pub(super) fn folders() -> Vec<String> {
    let run = fs::read_to_string(toolchain::root().join(".ci/run")).unwrap();
    let crates = run.lines().find_map(|line| line.strip_prefix("crates=\"")?.strip_suffix('"')).unwrap();
    crates.split(' ').filter(|folder| *folder != "runtime").map(str::to_owned).collect()
}

#[test]
fn each_package_has_a_short_page_of_its_own() {
    let folders = folders();
    assert_eq!(folders.len(), 5, "{folders:?}");
    for folder in folders {
        let read = |file: &str| fs::read_to_string(toolchain::root().join(&folder).join(file)).unwrap();
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        let package = manifest["package"].as_table().unwrap();
        assert_eq!(package["readme"].as_str(), Some("README.md"), "{folder}");
        let page = read("README.md");
        let name = package["name"].as_str().unwrap();
        assert!(page.starts_with(&format!("# {name}\n\n[maplock](../README.md) is ")), "{page}");
        assert!(page.contains("[The book](../docs/SUMMARY.md)") && page.lines().count() < 30, "{page}");
        // Its code is a doctest of the package, and of nothing else.
        let code = blocks(&format!("{folder}/README.md"));
        assert!(code.iter().all(|block| block.language.starts_with("rust")), "{folder}");
        let library = read("src/lib.rs");
        assert_eq!(library.contains("#[doc = include_str!(\"../README.md\")]"), !code.is_empty(), "{folder}");
    }
}
