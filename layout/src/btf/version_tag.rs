//! Declaration tags that say what version the meaning of bytes has: `btf_decl_tag("maplock:version=2")`.

use std::collections::HashMap;

use super::kind::BtfKind;
use super::reader::Btf;
use super::record::BtfType;

/// What tags of maplock's begin with. All others are somebody else's.
const PREFIX: &[u8] = b"maplock:";
/// What follows, before the number.
const VERSION: &str = "version=";
/// Bytes of a tag that are looked at; a valid one is shorter. Many tags can point into one long string.
const MAX_TAG: usize = 48;

/// A declaration tag of maplock's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionTag {
    /// The type that it is on, or a part of.
    pub on: u32,
    /// The member or parameter that it is on; -1 for the type itself.
    pub component: i32,
    /// The tag, as far as it matters.
    pub text: String,
    /// The version that it says, or why it says none: a phrase.
    pub version: Result<u32, String>,
}

impl VersionTag {
    fn read(btf: &Btf<'_>, tag: &BtfType<'_>) -> Option<Self> {
        let bytes = btf.string_bytes(tag.name_off)?;
        if !bytes.starts_with(PREFIX) {
            return None;
        }
        let end = bytes.iter().take(MAX_TAG).position(|&byte| byte == 0).unwrap_or(MAX_TAG.min(bytes.len()));
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some(Self { on: tag.type_id(), component: tag.component_index(), version: version(&text), text })
    }
}

/// The version that a tag says.
fn version(text: &str) -> Result<u32, String> {
    let said = text.strip_prefix("maplock:").and_then(|word| word.strip_prefix(VERSION));
    let Some(digits) = said else {
        return Err(format!("`{text}` says nothing to maplock; what it reads is `maplock:version=N`"));
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|&number: &u32| is_number && number != 0);
    number.ok_or_else(|| format!("`{text}`: a version is a number from 1 to {}", u32::MAX))
}

impl Btf<'_> {
    /// The declaration tags of maplock's, in the order of their ids.
    pub fn version_tags(&self) -> impl Iterator<Item = VersionTag> + '_ {
        self.of_kinds(&[BtfKind::DeclTag]).filter_map(|tag| VersionTag::read(self, &tag))
    }
}

/// What tags say of one type.
pub(super) type Versions = HashMap<u32, Result<u32, String>>;

/// What is said of each type that has a tag.
pub(super) fn versions(btf: &Btf<'_>) -> Versions {
    let mut versions = Versions::new();
    for tag in btf.version_tags().filter(|tag| tag.component == -1) {
        match versions.get(&tag.on) {
            Some(known) => {
                if let Some(both) = one_of(known, &tag.version) {
                    versions.insert(tag.on, Err(both));
                }
            }
            None => _ = versions.insert(tag.on, tag.version),
        }
    }
    versions
}

/// Why two tags can't both be.
fn one_of(one: &Result<u32, String>, other: &Result<u32, String>) -> Option<String> {
    match (one, other) {
        (Ok(one), Ok(other)) if one != other => {
            Some(format!("one tag says `maplock:version={one}`, another `maplock:version={other}`"))
        }
        (Ok(_), Err(problem)) => Some(problem.clone()),
        _ => None,
    }
}
