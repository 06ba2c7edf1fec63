
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Window {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct FlowStats {
    packets: u64,
    window: Window,
    bytes: u64,
    skew: i64,
    name: [u8; 8],
    is_open: u8,
    flags: [u8; 3],
    balance: u32,
}
