//! What the benchmarks share. They are under `benches/benches`, and `docs/performance.md` tells how to run and to read
//! them.
//!
//! [`compare`] measures contestants side by side, [`walk`] holds what each of them does with the kernel's BTF, and
//! [`libbpf`] is the only place with calls to C.

pub mod compare;
pub mod libbpf;
pub mod walk;

use std::env;

/// True where Cargo runs a benchmark, rather than trying whether it works (`cargo test --benches`).
#[must_use]
pub fn is_measuring() -> bool {
    env::args().any(|arg| arg == "--bench")
}
