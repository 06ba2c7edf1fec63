
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
struct Window {
    start: u32,
    end: u32,
}
