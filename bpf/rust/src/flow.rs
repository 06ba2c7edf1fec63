//! Plain `#[repr(C)]` keys and values.

use core::sync::atomic::AtomicU64;

/// 16 bytes, the last two are padding.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FlowKey {
    pub source: u32,
    pub destination: u32,
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
    pub direction: Direction,
}

/// A fieldless enum of one byte.
#[repr(u8)]
#[derive(Clone, Copy)]
pub enum Direction {
    Ingress = 0,
    Egress = 1,
}

/// A value with counters, a nested struct and a `bool` before a hole.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FlowStats {
    pub packets: u64,
    pub bytes: u64,
    pub seen: Window,
    pub sampled: bool,
    pub mark: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Window {
    pub first: u64,
    pub last: u64,
}

/// Counters as atomics, as Rust programs often have them.
#[repr(C)]
pub struct Hits {
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
}
