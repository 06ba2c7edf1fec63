//! Functions of the kernel that runs, by which it tells what it does where nothing can be tried that changes nothing.

use super::vmlinux::vmlinux_btf;

/// bpffs has always renamed by it.
const ALWAYS: &str = "simple_rename";

/// True if the kernel that runs has a function of that name: by its BTF, or else among its symbols, whose names anybody may read. `None` if
/// neither lists functions. Each look reads megabytes.
pub(super) fn has(name: &str) -> Option<bool> {
    let btf = vmlinux_btf().ok();
    let symbols = || std::fs::read_to_string("/proc/kallsyms").ok();
    btf.as_deref().and_then(|btf| by_btf(btf, name)).or_else(|| by_symbols(&symbols()?, name))
}

fn by_btf(btf: &[u8], name: &str) -> Option<bool> {
    let has = |name: &str| holds(btf, format!("\0{name}\0").as_bytes());
    has(ALWAYS).then(|| has(name))
}

/// Of lines such as `ffffffff8171a0d0 T simple_rename`.
fn by_symbols(symbols: &str, name: &str) -> Option<bool> {
    let has = |name: &str| symbols.lines().any(|line| line.split(' ').nth(2) == Some(name));
    has(ALWAYS).then(|| has(name))
}

/// As `windows(..).any(..)`, of several megabytes.
fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    // SAFETY: both are read for their own lengths.
    let found = unsafe { libc::memmem(bytes.as_ptr().cast(), bytes.len(), wanted.as_ptr().cast(), wanted.len()) };
    !found.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_one_of_just_that_name() {
        let wanted = "simple_rename_exchange";
        assert_eq!(by_btf(b"\0simple_rename\0simple_rename_exchange\0", wanted), Some(true));
        assert_eq!(by_btf(b"\0simple_rename\0a_simple_rename_exchange\0", wanted), Some(false));
        assert_eq!(by_btf(b"\0types\0alone\0", wanted), None);
        let symbols = "ffffffff81719d80 T simple_rename_exchange2\nffffffff8171a0d0 T simple_rename\n";
        assert_eq!(by_symbols(symbols, wanted), Some(false));
        assert_eq!(by_symbols(&format!("{symbols}0000000000000000 T simple_rename_exchange\n"), wanted), Some(true));
        assert_eq!(by_symbols("", wanted), None);
    }

    #[test]
    fn btf_and_symbols_of_the_kernel_that_runs_tell_the_same() {
        for name in ["simple_rename_exchange", "bpf_map_charge_init", "no_such_function"] {
            let btf = vmlinux_btf().ok().and_then(|btf| by_btf(&btf, name));
            let symbols = std::fs::read_to_string("/proc/kallsyms").ok().and_then(|symbols| by_symbols(&symbols, name));
            let told: Vec<_> = [btf, symbols].into_iter().flatten().collect();
            assert!(told.iter().all(|told| Some(*told) == has(name)), "{name}: {told:?}");
        }
        assert_ne!(has("no_such_function"), Some(true));
    }
}
