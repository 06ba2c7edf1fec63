
#[derive(MapValue)]
#[repr(u32)]
enum Balance {
    Random,
    RoundRobin,
}
