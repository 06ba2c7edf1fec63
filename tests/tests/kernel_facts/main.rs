//! What the kernel and the loaders do, where naive code would be wrong: one test at least for each row of
//! docs/kernel-facts.md, named after it. Where a figure belongs to a fact, the test proves what the figure says without one.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

/// Returns from the test, and says so, where the kernel can't be used.
macro_rules! needs_kernel {
    () => {
        if !maplock_tests::kernel::available() {
            return;
        }
    };
}

mod bpffs;
mod copying;
mod hooks;
mod live_traffic;
mod loaders;
mod map_types;
mod objects;
mod older_kernels;
mod page;
mod raw;
mod support;
mod what_the_kernel_tells;
