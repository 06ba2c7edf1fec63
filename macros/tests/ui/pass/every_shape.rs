
#[derive(Clone, Copy, MapKey, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
struct Port(zerocopy::big_endian::U16);

#[derive(Clone, Copy, MapKey, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct FlowKey {
    addr: [u8; 16],
    port: Port,
    protocol: u16,
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[maplock(btf = "struct bits")]
struct Flags {
    #[maplock(bits = "low, high")]
    bits: u32,
    count: u32,
}


#[derive(Clone, Copy, MapValue, FromBytes, Immutable)]
#[repr(C)]
#[maplock(btf = "struct inside.named")]
union Named {
    one: u32,
    four: [u8; 4],
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Inside {
    family: u32,
    v6: [u8; 16],
    named: Named,
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
struct Packed {
    tag: u8,
    count: u64,
}

#[derive(Clone, Copy, MapKey, FromBytes, IntoBytes, Immutable)]
#[derive(MapValue)]
#[repr(C, align(8))]
struct Padded {
    tag: u8,
    _pad: [u8; 7],
    count: u64,
}

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Window {
    start: u32,
    end: u32,
}

const ROWS: usize = 2;

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Grid {
    cells: [[Window; 3]; ROWS],
    #[maplock(rename = "total")]
    sum: u64,
}

/// Its type is told by size alone.
#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[maplock(map = "recent")]
struct Recent {
    times: [u64; 3],
}

#[derive(MapValue)]
#[repr(u32)]
enum Balance {
    Random,
    RoundRobin = 4,
}

fn are_values<T: MapValue>() {}
fn are_keys<T: MapKey>() {}
fn all() {
    are_keys::<FlowKey>();
    are_keys::<Padded>();
    are_values::<Padded>();
    are_values::<Inside>();
    are_values::<Grid>();
    are_values::<Recent>();
}
