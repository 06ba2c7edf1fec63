//! `#[btf_map(pin_by_name)]`, which aya-ebpf has since 0.3.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap, RingBuf};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;

mod account {
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Usage {
        pub packets: u64,
        pub bytes: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Owner {
        pub user: u32,
        pub group: u32,
    }
}

use account::{Owner, Usage};

#[btf_map(pin_by_name)]
static USAGE: HashMap<Owner, Usage, 1024> = HashMap::new();

#[btf_map(name = "renamed_pinned", pin_by_name)]
static ITEM_NAME: LruHashMap<u32, Usage, 64, 2> = LruHashMap::new();

#[btf_map]
static FREE: Array<Usage, 4> = Array::new();

/// `pinning` stands before the trailing `values`.
#[btf_map(pin_by_name)]
static OUTER: ArrayOfMaps<Array<u64, 10>, 4> = ArrayOfMaps::new();

/// Since 0.3 a `value` without `value_size = 0`.
#[btf_map]
static EVENTS: RingBuf<Usage, 4096> = RingBuf::new();

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[xdp]
pub fn fixture_pinned(ctx: XdpContext) -> u32 {
    let length = (ctx.data_end() - ctx.data()) as u64;
    let owner = Owner { user: 1, group: 2 };
    if let Some(usage) = USAGE.get_ptr_mut(&owner) {
        unsafe { (*usage).packets += 1 };
    }
    if let Some(usage) = ITEM_NAME.get_ptr_mut(&7) {
        unsafe { (*usage).bytes += length };
    }
    if let Some(usage) = FREE.get_ptr_mut(0) {
        unsafe { (*usage).bytes += length };
    }
    if let Some(inner) = OUTER.get(0) {
        let _ = inner.set(0, &1, 0);
    }
    let _ = EVENTS.output(&Usage { packets: 1, bytes: length }, 0);
    XDP_PASS
}
