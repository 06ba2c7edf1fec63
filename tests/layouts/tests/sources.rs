//! A file has one reason to exist, and can be read in one sitting.

use std::fs;

use maplock_layout_tests::toolchain::{files, root};

/// Lines of the longest file that is read in one sitting.
const LONGEST: usize = 500;

#[test]
fn no_source_file_is_longer_than_can_be_read_in_one_sitting() {
    let mut seen = 0;
    for package in
        ["layout", "codegen", "macros", "runtime", "harness", "cli", "minimesh", "tests", "tests/layouts", "benches"]
    {
        for file in files(&root().join(package).join("src"), ".rs") {
            let text = fs::read_to_string(&file).expect("a text");
            let lines = text.lines().count();
            assert!(lines <= LONGEST, "{}: {lines} lines; give each of its reasons a file", file.display());
            seen += 1;
        }
    }
    assert!(seen > 300, "{seen} files");
}

#[test]
fn the_daemons_crate_has_few_rooms_at_its_top() {
    let rooms = fs::read_dir(root().join("runtime/src")).expect("a folder").count();
    assert!(rooms <= 12, "{rooms} files and folders in runtime/src");
}
