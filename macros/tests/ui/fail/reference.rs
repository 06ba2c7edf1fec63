
#[derive(MapValue)]
#[repr(C)]
struct Window {
    start: &'static u32,
    end: *const u32,
}
