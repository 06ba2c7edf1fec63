//! Types that the fixture programs keep in their maps, and the parts each of them needs.
#![no_std]

pub mod flow;
pub mod keyed;
pub mod odd;
pub mod shape;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
