//! Finding and resolving the maps of an object, from its bytes in memory.

use std::path::PathBuf;
use std::{env, fs};

use criterion::Criterion;
use maplock_bench::compare::{Contestant, compare};
use maplock_bench::libbpf;
use maplock_tests::toolchain::{Clang, Fixture, Order, file_name, root};

/// Further objects, as paths with `:` between them.
const MORE: &str = "MAPLOCK_BENCH_OBJECTS";

fn main() {
    libbpf::be_quiet();
    let mut criterion = Criterion::default().configure_from_args();
    for (name, bytes) in objects() {
        object(&mut criterion, &name, &bytes);
    }
    criterion.final_summary();
}

fn object(criterion: &mut Criterion, name: &str, bytes: &[u8]) {
    let maps = maplock_codegen::Object::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}")).maps.len();
    let mut contestants = vec![Contestant::new("maplock", || {
        maplock_codegen::Object::parse(bytes).map_or(0, |object| object.maps.len() as u64)
    })];
    match libbpf::open_and_close(bytes) {
        Ok(()) => contestants.push(Contestant::new("libbpf", || u64::from(libbpf::open_and_close(bytes).is_ok()))),
        Err(error) => eprintln!("{name}: libbpf does not open it: {error}"),
    }
    match aya_obj::Object::parse(bytes) {
        Ok(_) => contestants.push(Contestant::new("aya-obj", || {
            aya_obj::Object::parse(bytes).map_or(0, |object| object.maps.len() as u64)
        })),
        Err(error) => eprintln!("{name}: aya-obj does not parse it: {error}"),
    }
    println!("object/{name}: {} bytes, {maps} maps", bytes.len());
    compare(criterion, &format!("object/{name}"), &contestants);
}

fn objects() -> Vec<(String, Vec<u8>)> {
    let mut paths = vec![
        ("minimesh".to_owned(), root().join("bpf/minimesh/v1/minimesh.bpf.o")),
        ("btf_maps".to_owned(), root().join("bpf/rust/objects/btf_maps.o")),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clang = Clang::newest();
    if let Some(many) = clang.and_then(|clang| Fixture::named("many").compile(&clang, Order::Little, folder.path())) {
        paths.push(("many".to_owned(), many));
    }
    let more = env::var_os(MORE).unwrap_or_default();
    let more = env::split_paths(&more).filter(|path| !path.as_os_str().is_empty());
    paths.extend(more.map(|path: PathBuf| (file_name(&path), path)));
    paths
        .into_iter()
        .map(|(name, path)| (name, fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))))
        .collect()
}
