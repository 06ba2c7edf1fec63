
#[derive(Clone, Copy, MapValue, FromBytes, Immutable)]
#[repr(C)]
#[maplock(btf = "union addr")]
union Addr {
    v4: u32,
    v6: [u8; 16],
}
