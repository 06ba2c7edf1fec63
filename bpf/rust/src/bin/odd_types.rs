//! Values that are legal Rust but a poor choice for a map: nothing promises their layout, or BTF
//! cannot say what they are.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use fixture::keyed::Keyed;
use fixture::odd::{Mixture, Tagged, Unordered};

#[btf_map]
static UNORDERED: HashMap<u32, Unordered, 16> = HashMap::new();

#[btf_map]
static TAGGED: HashMap<u32, Tagged, 16> = HashMap::new();

#[btf_map]
static MIXTURE: Array<Mixture, 2> = Array::new();

#[btf_map]
static TUPLES: HashMap<(u16, u32), Option<u64>, 16> = HashMap::new();

#[btf_map]
static NESTED: HashMap<u32, Keyed<Keyed<Option<u32>>>, 16> = HashMap::new();

#[xdp]
pub fn fixture_odd(_ctx: XdpContext) -> u32 {
    if let Some(value) = UNORDERED.get_ptr_mut(1u32) {
        unsafe { (*value).medium += 1 };
    }
    if let Some(value) = TAGGED.get_ptr_mut(1u32) {
        unsafe { *value = Tagged::Number(3) };
    }
    if let Some(value) = MIXTURE.get_ptr_mut(0) {
        unsafe { (*value).size += 1 };
    }
    if let Some(value) = TUPLES.get_ptr_mut((1u16, 2u32)) {
        unsafe { *value = None };
    }
    if let Some(value) = NESTED.get_ptr_mut(1u32) {
        unsafe { (*value).item.generation += 1 };
    }
    XDP_PASS
}
