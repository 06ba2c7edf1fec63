
use zerocopy::{big_endian, little_endian};

#[derive(Clone, Copy, MapKey, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Route {
    to: big_endian::U32,
    port: u16,
    length: little_endian::U16,
    hops: [[u8; 4]; 2],
}

/// What says nothing of its order may be of any.
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Window {
    start: big_endian::U32,
    end: little_endian::U32,
}
