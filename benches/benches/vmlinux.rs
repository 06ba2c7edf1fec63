//! The kernel's own BTF: index it, find `struct task_struct`, visit it whole.

use std::ffi::CStr;
use std::fs;

use btf_rs::Backend;
use criterion::Criterion;
use maplock_bench::compare::{Contestant, compare};
use maplock_bench::{libbpf, walk};
use maplock_layout::btf::Btf;

const PATH: &CStr = c"/sys/kernel/btf/vmlinux";
const STRUCT: &CStr = c"task_struct";

fn main() {
    let (path, name) = (PATH.to_str().expect("ASCII"), STRUCT.to_str().expect("ASCII"));
    let Ok(bytes) = fs::read(path) else {
        eprintln!("skipped: needs {path} (a kernel with CONFIG_DEBUG_INFO_BTF)");
        return;
    };
    libbpf::be_quiet();
    let by_btf_rs = |btf: Result<btf_rs::Btf, btf_rs::Error>| {
        btf.and_then(|btf| walk::btf_rs(&btf, name)).expect("btf-rs reads the kernel's BTF")
    };
    let by_libbpf = |btf: std::io::Result<libbpf::Btf>| btf.expect("libbpf reads the kernel's BTF").walk(STRUCT);

    let seen = walk::tally_of(&walk::maplock(&bytes, name));
    assert_eq!(seen, by_btf_rs(btf_rs::Btf::from_bytes(&bytes)), "maplock and btf-rs saw the same");
    assert_eq!(seen, by_libbpf(libbpf::Btf::from_bytes(&bytes)), "maplock and libbpf saw the same");
    let types = Btf::parse(&bytes).expect("the BTF is valid").len();
    println!("{path}: {} bytes, {types} types; struct {name}: {seen:?}", bytes.len());

    let mut criterion = Criterion::default().configure_from_args();
    compare(
        &mut criterion,
        "vmlinux/bytes",
        &[
            Contestant::new("maplock", || walk::maplock(&bytes, name).size),
            Contestant::new("btf-rs", || by_btf_rs(btf_rs::Btf::from_bytes(&bytes)).sum()),
            Contestant::new("libbpf btf__new", || by_libbpf(libbpf::Btf::from_bytes(&bytes)).sum()),
        ],
    );
    let mapped = || btf_rs::Btf::from_file_with_backend(path, Backend::Mmap);
    let mut from_file = vec![
        Contestant::new("maplock", || walk::maplock(&fs::read(path).expect("the file was read before"), name).size),
        Contestant::new("btf-rs", || by_btf_rs(btf_rs::Btf::from_file(path)).sum()),
        Contestant::new("libbpf btf__parse", || by_libbpf(libbpf::Btf::from_file(PATH)).sum()),
        Contestant::new("libbpf btf__load_vmlinux_btf", || by_libbpf(libbpf::Btf::of_kernel()).sum()),
    ];
    match mapped() {
        Ok(_) => from_file.push(Contestant::new("btf-rs mmap", || by_btf_rs(mapped()).sum())),
        Err(error) => eprintln!("btf-rs does not map {path}: {error}"),
    }
    compare(&mut criterion, "vmlinux/file", &from_file);
    compare(
        &mut criterion,
        "vmlinux/index",
        &[
            Contestant::new("maplock", || u64::from(Btf::parse(&bytes).expect("the BTF is valid").len())),
            Contestant::new("btf-rs", || btf_rs::Btf::from_bytes(&bytes).map_or(0, |_| 1)),
            Contestant::new("libbpf btf__new", || {
                libbpf::Btf::from_bytes(&bytes).map_or(0, |btf| u64::from(btf.len()))
            }),
        ],
    );
    criterion.final_summary();
}
