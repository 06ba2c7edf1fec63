//! Any bytes as BTF: an error, or layouts that can be named, hashed, written and compared.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use maplock_fuzz::{check_encoded, check_lock};
use maplock_layout::Lock;
use maplock_layout::btf::{Btf, Resolver};
use maplock_layout::lock::LockedMap;
use maplock_layout::map::{MapDef, MapType};

fuzz_target!(|data: &[u8]| {
    let Ok(btf) = Btf::parse(data) else { return };
    let mut resolver = Resolver::new(&btf);
    let mut largest: Option<Arc<maplock_layout::Layout>> = None;
    for ty in btf.types().take(512) {
        _ = btf.name(&ty);
        _ = btf.skip_modifiers(ty.id);
        match resolver.resolve(ty.id) {
            Ok(layout) => {
                _ = (layout.spelling(), layout.spelling_without_typedef());
                let mut def = MapDef::new("m", MapType::HASH);
                def.value = Some(Arc::clone(&layout));
                _ = def.digest();
                check_encoded(&layout);
                let members = |layout: &maplock_layout::Layout| layout.composite().map_or(0, |of| of.members().len());
                if largest.as_deref().is_none_or(|largest| members(&layout) >= members(largest)) {
                    largest = Some(layout);
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Some(layout) = largest {
        let mut def = MapDef::new("m", MapType::HASH);
        def.value_size = u32::try_from(layout.size).unwrap_or(u32::MAX);
        def.value = Some(layout);
        check_lock(&Lock { maps: [("m".to_owned(), LockedMap::new(def))].into(), ..Lock::default() });
    }
});
