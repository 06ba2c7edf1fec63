
use zerocopy::{big_endian, little_endian};

#[derive(Clone, Copy, MapKey, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Route {
    to: little_endian::U32,
    port: big_endian::U16,
    length: big_endian::U16,
    hops: [little_endian::U32; 2],
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
struct Port(little_endian::U16);

/// The order is told where the newtype is used.
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[maplock(btf = "struct peer")]
struct Peer {
    port: Port,
}
