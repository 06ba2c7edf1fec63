
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
struct Be<T>(T);

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Window {
    start: Be<u32>,
    end: u32,
}
