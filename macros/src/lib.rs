//! The derives of maplock: types of keys and values, held against `maps.lock` as they are compiled.
//!
//! Use them through the crate `maplock`, which re-exports them. The attribute `#[maplock(..)]` of both:
//!
//! | on | argument | what it says |
//! |---|---|---|
//! | type | `btf = "struct conn"` | the type of the lock, if its name is not that of the Rust type in either case; `"struct conn.addr"` is the type of a member, `"struct conn.(v4)"` the anonymous struct or union that holds `v4` |
//! | type | `map = "flows"` | the map that has the type, if several maps have different ones of that name; or a map declared by sizes alone, whose size is then all that is held |
//! | type | `object = "flowtop"` | the object whose maps are looked through |
//! | type | `crate = "path"` | the path of the crate `maplock`, if it is not `::maplock` |
//! | type | `lock = "../daemon/maps.lock"` | the lock, relative to the package, if it is not that of the package itself |
//! | field, variant | `rename = "type"` | the member's or enumerator's name in C |
//! | field | `anonymous = "v4"` | the field is the anonymous struct or union that holds `v4` |
//! | field | `bits = "a, b"` | the field holds the bytes of these bit-fields |
#![forbid(unsafe_code)]

mod attribute;
mod describe;
mod enums;
mod fields;
mod input;
mod lockfile;
mod memory;
mod structs;
mod types;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::input::{Input, Role};

/// Holds a type against the key of a map in `maps.lock`, and implements `maplock::MapKey` for it.
///
/// See the crate for `#[maplock(..)]`. zerocopy's `FromBytes`, `IntoBytes` and `Immutable` are derived beside it.
#[proc_macro_derive(MapKey, attributes(maplock))]
pub fn derive_map_key(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, Role::Key)
}

/// Holds a type against the value of a map in `maps.lock`, and implements `maplock::MapValue` for it.
///
/// See the crate for `#[maplock(..)]`. zerocopy's `FromBytes`, `IntoBytes` and `Immutable` are derived beside it.
#[proc_macro_derive(MapValue, attributes(maplock))]
pub fn derive_map_value(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, Role::Value)
}

fn expand(input: proc_macro::TokenStream, role: Role) -> proc_macro::TokenStream {
    let parsed = syn::parse::<DeriveInput>(input).and_then(|input| Input::new(input, role));
    let tokens = match &parsed {
        Ok(input) => expand_parsed(input),
        Err(error) => error.to_compile_error(),
    };
    tokens.into()
}

fn expand_parsed(input: &Input) -> TokenStream {
    match &input.derive.data {
        syn::Data::Enum(data) => enums::expand(input, data),
        _ => structs::expand(input),
    }
}
