
#[derive(MapValue)]
#[repr(C)]
struct Window {
    start: bool,
    end: [char; 2],
}
