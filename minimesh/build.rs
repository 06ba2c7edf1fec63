//! Holds the maps of the chosen release against `maps.lock`, and generates their Rust types.

use std::env;

fn main() -> Result<(), maplock_codegen::BuildError> {
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let release = ["V4", "V3", "V2"].into_iter().find(|feature| has(feature)).unwrap_or("V1").to_lowercase();
    maplock_codegen::Builder::new().object("minimesh", format!("../bpf/minimesh/{release}/minimesh.bpf.o")).generate()
}
