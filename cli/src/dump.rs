//! Entries of a map in a file, as `maplock dump --message-format json` and `bpftool map dump -j` write them.

use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
use crate::project;

/// An entry: its key, and its value; in a per-CPU map, that of each CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) values: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct EntryJson {
    key: Vec<Byte>,
    value: Option<Vec<Byte>>,
    values: Option<Vec<CpuJson>>,
}

#[derive(Deserialize)]
struct CpuJson {
    value: Vec<Byte>,
}

/// bpftool writes bytes as text: `"0x0a"`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Byte(u8);

impl TryFrom<String> for Byte {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").filter(|digits| (1..=2).contains(&digits.len()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.map(Self).ok_or_else(|| format!("`{text}` is no byte such as 0x0a"))
    }
}

fn bytes(of: Vec<Byte>) -> Vec<u8> {
    of.into_iter().map(|byte| byte.0).collect()
}

/// Reads the entries of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let shown = project::shown(path);
    let failed = || Error::new(format!("could not read {shown}"));
    let text = std::fs::read_to_string(path).map_err(|error| failed().because(error))?;
    let help = "make it with `maplock dump PIN --message-format json`, or `bpftool -j map dump pinned PIN`";
    let entries: Vec<EntryJson> = serde_json::from_str(&text).map_err(|error| failed().because(error).help(help))?;
    entries
        .into_iter()
        .map(|entry| {
            let values = match (entry.value, entry.values) {
                (Some(value), None) => vec![bytes(value)],
                (None, Some(values)) => values.into_iter().map(|cpu| bytes(cpu.value)).collect(),
                _ => return Err(failed().because("an entry needs either `value` or `values`").help(help)),
            };
            Ok(Entry { key: bytes(entry.key), values })
        })
        .collect()
}
