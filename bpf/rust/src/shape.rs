//! Unions, arrays, enums and wide integers.

/// Four or sixteen bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Address {
    pub v4: u32,
    pub v6: [u8; 16],
    pub words: [u32; 4],
}

/// An enum of four bytes, with gaps between its numbers.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum State {
    Idle = 0,
    Open = 1,
    Closing = 7,
    Lost = 0x8000_0000,
}

/// A negative number, in a signed enum.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum Level {
    Below = -1,
    Zero = 0,
    Above = 1,
}

/// `u128` (aligned to 16 bytes), arrays of one and of two dimensions, and `bool`s.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Wide {
    pub total: u128,
    pub signed: i128,
    pub buckets: [u64; 4],
    pub grid: [[u16; 3]; 2],
    pub flags: [bool; 4],
    pub state: State,
    pub level: Level,
}

/// What a ring buffer carries.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    pub at: u64,
    pub address: Address,
    pub name: [u8; 16],
    pub state: State,
}

/// No padding: an `u64` at an odd offset.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct Packed {
    pub tag: u8,
    pub count: u64,
    pub rest: [u8; 3],
}
