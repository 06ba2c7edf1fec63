
#[derive(Clone, Copy, MapKey, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Padded {
    tag: u8,
    count: u64,
}
