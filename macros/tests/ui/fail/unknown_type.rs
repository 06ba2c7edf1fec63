
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Windows {
    start: u32,
    end: u32,
}
