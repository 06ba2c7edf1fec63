#!/bin/sh
# Rebuilds objects/*.o. See README.md for what it needs and where that comes from.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${RUST_WEB:?the folder that the rustc-web packages were unpacked into}"
: "${CARGO_TARGET_DIR:=$here/target}"
: "${CARGO_HOME:=$HOME/.cargo}"
: "${LLVM_STRIP:=llvm-strip-19}"
export CARGO_TARGET_DIR CARGO_HOME

export RUSTC="$RUST_WEB/usr/bin/rustc"
export LD_LIBRARY_PATH="$RUST_WEB/usr/lib/x86_64-linux-gnu"
# aya-ebpf uses unstable features, and so does -Zbuild-std.
export RUSTC_BOOTSTRAP=1
# The architecture whose bindings aya-ebpf takes; otherwise that of this machine.
export AYA_BPF_TARGET_ARCH=x86_64
# Before the loop below looks for the registry's folder.
(cd "$here" && cargo fetch --locked)

RUSTFLAGS="-C debuginfo=2 -C link-arg=--btf"
# Later ones win: the target folder may be inside $here.
for map in "$here=/fixture" "$CARGO_TARGET_DIR=/target" \
    "$RUST_WEB/usr/lib/rustlib/src/rust=/rust" "$RUST_WEB/usr/src/rustc-1.96.0=/rust"; do
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$map"
done
for registry in "$CARGO_HOME"/registry/src/*; do
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$registry=/crates"
done
export RUSTFLAGS

build() { # the crate's folder, the target, further options
    folder=$1 target=$2
    shift 2
    (cd "$folder" &&
        nice -n 10 cargo build --locked --release -Zbuild-std=core --target "$target" "$@")
}

# Without its DWARF, but with its BTF.
strip_dwarf() {
    "$LLVM_STRIP" -g --keep-section=.BTF --keep-section=.BTF.ext "$1" -o "$2"
}

out="$here/objects"
little="$CARGO_TARGET_DIR/bpfel-unknown-none/release"
big="$CARGO_TARGET_DIR/bpfeb-unknown-none/release"
mkdir -p "$out"
rm -f "$out"/*.o

build "$here" bpfel-unknown-none
# aya-ebpf 0.3.0 says that it needs Rust 1.98; 1.96 compiles it.
build "$here/pinned" bpfel-unknown-none --ignore-rust-version
build "$here" bpfeb-unknown-none

for name in btf_maps legacy_maps both odd_types pinned; do
    cp "$little/$name" "$out/$name.o"
done
strip_dwarf "$little/btf_maps" "$out/btf_maps.stripped.o"
for name in btf_maps legacy_maps; do
    strip_dwarf "$big/$name" "$out/$name.eb.stripped.o"
done
cp "$big/both" "$out/both.eb.o"

chmod 644 "$out"/*.o
ls -l "$out"
