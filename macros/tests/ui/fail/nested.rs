
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[maplock(btf = "struct bits")]
struct Other {
    #[maplock(bits = "low, high")]
    bits: u32,
    count: u32,
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct FlowStats {
    packets: u64,
    window: Other,
    bytes: u64,
    skew: i64,
    name: [u8; 16],
    is_open: u8,
    flags: [u8; 3],
    balance: u32,
}
