//! `#[maplock(..)]`.

use syn::{Attribute, LitStr, Path, Result};

/// What it says on a type.
#[derive(Default)]
pub(crate) struct OfType {
    pub(crate) btf: Option<LitStr>,
    pub(crate) map: Option<LitStr>,
    pub(crate) object: Option<LitStr>,
    pub(crate) lock: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

impl OfType {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut all = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("maplock")) {
            attribute.parse_nested_meta(|meta| {
                let place = if meta.path.is_ident("btf") {
                    &mut all.btf
                } else if meta.path.is_ident("map") {
                    &mut all.map
                } else if meta.path.is_ident("object") {
                    &mut all.object
                } else if meta.path.is_ident("lock") {
                    &mut all.lock
                } else if meta.path.is_ident("crate") {
                    all.krate = Some(meta.value()?.parse::<LitStr>()?.parse()?);
                    return Ok(());
                } else {
                    return Err(
                        meta.error("no such argument on a type; there are `btf`, `map`, `object`, `lock` and `crate`")
                    );
                };
                *place = Some(meta.value()?.parse()?);
                Ok(())
            })?;
        }
        Ok(all)
    }
}

/// What it says on a field or variant.
#[derive(Default)]
pub(crate) struct OfField {
    pub(crate) rename: Option<LitStr>,
    pub(crate) anonymous: Option<LitStr>,
    pub(crate) bits: Option<LitStr>,
}

impl OfField {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut all = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("maplock")) {
            attribute.parse_nested_meta(|meta| {
                let place = if meta.path.is_ident("rename") {
                    &mut all.rename
                } else if meta.path.is_ident("anonymous") {
                    &mut all.anonymous
                } else if meta.path.is_ident("bits") {
                    &mut all.bits
                } else {
                    return Err(meta.error("no such argument on a field; there are `rename`, `anonymous` and `bits`"));
                };
                *place = Some(meta.value()?.parse()?);
                Ok(())
            })?;
        }
        Ok(all)
    }
}
