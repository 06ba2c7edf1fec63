
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[maplock(map = "recent")]
struct Recent {
    times: [u64; 2],
}
