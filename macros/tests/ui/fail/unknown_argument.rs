
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[maplock(bft = "struct window")]
struct Window {
    start: u32,
    end: u32,
}
