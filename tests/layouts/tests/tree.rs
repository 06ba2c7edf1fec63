//! What has to be built before the tests of the pure crates run: no kernel's, no loader's, no cluster's crate.

use std::env;
use std::process::Command;

use maplock_layout_tests::toolchain::{root, run};

#[test]
fn the_pure_crates_and_their_tests_build_no_loader_and_no_cluster() {
    for package in ["maplock-layout", "maplock-codegen", "maplock-macros", "maplock-layout-tests"] {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["tree", "--locked", "-p", package, "-e", "all", "--prefix", "none", "-f", "{lib}"]);
        let tree = String::from_utf8(run(cargo.current_dir(root())).stdout).expect("names of crates");
        let of_tree = |name: &str| tree.lines().any(|line| line.trim() == name);
        assert!(of_tree("maplock_layout"), "{package}: {tree}");
        for heavy in ["aya", "libbpf_sys", "libbpf_rs", "k8s_openapi", "maplock"] {
            assert!(!of_tree(heavy), "{package} needs {heavy}");
        }
    }
}
