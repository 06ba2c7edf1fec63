//! Any bytes as an eBPF object: an error, or maps that a lock can hold, and lines of their sources.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maplock_codegen::Object;
use maplock_fuzz::check_lock;
use maplock_layout::rules::Attribute;
use maplock_layout::{Config, ObjectMaps, observe};

fuzz_target!(|data: &[u8]| {
    let Ok(object) = Object::parse(data) else { return };
    let locations = object.locations();
    for map in &object.maps {
        _ = locations.find(&map.name, &map.name, Some(Attribute::MaxEntries));
        for (what, layout) in [("key", &map.key), ("value", &map.value)] {
            _ = locations.find(&map.name, &format!("{}.{what}", map.name), None);
            let members = layout.as_deref().and_then(|layout| layout.composite());
            for member in members.iter().flat_map(|of| of.flat_members()).take(8) {
                _ = locations.find(&map.name, &format!("{}.{what}.{}", map.name, member.member.name), None);
            }
        }
    }
    let programs = Some(object.programs().uses);
    let maps = [ObjectMaps { name: "o".to_owned(), maps: object.maps, programs }];
    if let Ok(observation) = observe(&maps, &Config::default()) {
        check_lock(&observation.lock);
    }
});
