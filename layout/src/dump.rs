//! Entries of a map as `bpftool -j map dump` writes them, and `maplock dump --message-format json` after it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::Value;

use crate::rehearsal::Entry;

/// Why a text is no dump.
#[derive(Debug)]
pub enum DumpError {
    /// It is no JSON.
    Json(serde_json::Error),
    /// It is JSON of something else.
    NoEntries,
    /// An entry of it is none.
    Entry {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it: a phrase that follows `entry 3 `.
        problem: String,
    },
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "it is no JSON: {error}"),
            Self::NoEntries => f.write_str("it is no array of entries"),
            Self::Entry { index, problem } => write!(f, "entry {index} {problem}"),
        }
    }
}

impl std::error::Error for DumpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

/// The entries of a dump. One that was deleted while the map was read, of which bpftool has an error in the place of the value, is
/// left out.
///
/// # Errors
/// If it is no such dump.
pub fn parse(text: &str) -> Result<Vec<Entry>, DumpError> {
    if !text.trim_start().starts_with('[') {
        return Err(serde_json::from_str::<Value>(text).map_or_else(DumpError::Json, |_| DumpError::NoEntries));
    }
    // One entry after the other: a text of each byte is much larger than the byte.
    let mut reader = Reader { entries: Vec::new(), wrong: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = (&mut reader).deserialize(&mut json).and_then(|()| json.end());
    match (read, reader.wrong) {
        (_, Some(wrong)) => Err(wrong),
        (Err(error), None) => Err(DumpError::Json(error)),
        (Ok(()), None) => Ok(reader.entries),
    }
}

/// The map that a file of a dump is called after, of those of a lock: `flows.json`, `flows.node7.json`.
#[must_use]
pub fn map_of<'a>(file_name: &str, maps: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_of = |map: &&str| file_name.strip_prefix(*map).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    maps.into_iter().filter(is_of).max_by_key(|map| map.len())
}

struct Reader {
    entries: Vec<Entry>,
    wrong: Option<DumpError>,
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(value) = from.next_element::<Value>()? {
            match entry(&value) {
                Ok(entry) => self.entries.extend(entry),
                Err(problem) => {
                    self.wrong = Some(DumpError::Entry { index, problem });
                    return Err(A::Error::custom("an entry is none"));
                }
            }
            index += 1;
        }
        Ok(())
    }
}

/// An entry; `None` for one that is gone.
fn entry(of: &Value) -> Result<Option<Entry>, String> {
    let key = bytes(&of["key"], "key")?;
    let values = match (of.get("value"), of.get("values")) {
        // `"value":{"error":"No such file or directory"}`
        (Some(Value::Object(value)), None) if value.contains_key("error") => return Ok(None),
        (Some(value), None) => vec![bytes(value, "value")?],
        (None, Some(Value::Array(cpus))) if !cpus.is_empty() => {
            cpus.iter().map(|cpu| bytes(&cpu["value"], "value")).collect::<Result<_, _>>()?
        }
        _ => return Err("needs either `value`, or `values` of each CPU".to_owned()),
    };
    Ok(Some(Entry { key, values }))
}

fn bytes(of: &Value, what: &str) -> Result<Vec<u8>, String> {
    let lacks = || format!("has no `{what}` of bytes such as \"0x0a\"");
    let texts = of.as_array().ok_or_else(lacks)?;
    texts.iter().map(|text| text.as_str().ok_or_else(lacks).and_then(byte)).collect()
}

fn byte(text: &str) -> Result<u8, String> {
    // `from_str_radix` takes a sign too.
    let is_hex = |digits: &&str| matches!(digits.len(), 1 | 2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let digits = text.strip_prefix("0x").filter(is_hex);
    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.ok_or_else(|| format!("is wrong: `{text}` is no byte such as 0x0a"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &[u8], values: &[&[u8]]) -> Entry {
        Entry { key: key.to_vec(), values: values.iter().map(|value| value.to_vec()).collect() }
    }

    #[test]
    fn what_bpftool_writes_is_read() {
        let text = r#"[{"key":["0x01","0x00"],"value":["0xff"],"formatted":{"key":1,"value":{"a":255}}},
            {"key":["0x02","0x00"],"values":[{"cpu":0,"value":["0x10"]},{"cpu":1,"value":["0x20"]}]}]"#;
        assert_eq!(parse(text).expect("a dump"), [of(&[1, 0], &[&[255]]), of(&[2, 0], &[&[16], &[32]])]);
        assert_eq!(parse(" [] ").expect("an empty one"), []);
    }

    #[test]
    fn an_entry_that_was_deleted_under_the_dump_is_left_out() {
        let text =
            r#"[{"key":["0x01"],"value":{"error":"No such file or directory"}},{"key":["0x02"],"value":["0x1"]}]"#;
        assert_eq!(parse(text).expect("a dump"), [of(&[2], &[&[1]])]);
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        for (text, problem) in [
            ("{}", "it is no array of entries"),
            (r#"[{"key":[1],"value":["0xff"]}]"#, "entry 0 has no `key` of bytes such as \"0x0a\""),
            // Without `-j`, bpftool writes the members alone.
            (r#"[{"key":{"port":80},"value":{"bytes":1}}]"#, "entry 0 has no `key` of bytes such as \"0x0a\""),
            (
                r#"[{"key":["0x1"],"value":["0x1"]},{"key":["0x1"],"value":1}]"#,
                "entry 1 has no `value` of bytes such as \"0x0a\"",
            ),
            (r#"[{"key":["0x1"]}]"#, "entry 0 needs either `value`, or `values` of each CPU"),
            (r#"[{"key":["0x1"],"values":[]}]"#, "entry 0 needs either `value`, or `values` of each CPU"),
            (
                r#"[{"key":["0x1"],"value":["0x1"],"values":[]}]"#,
                "entry 0 needs either `value`, or `values` of each CPU",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), problem);
        }
        for byte in ["1", "0x", "0x+1", "0x100", "0x0001", "0xg"] {
            let text = format!(r#"[{{"key":["{byte}"],"value":[]}}]"#);
            let problem = format!("entry 0 is wrong: `{byte}` is no byte such as 0x0a");
            assert_eq!(parse(&text).expect_err(byte).to_string(), problem);
        }
        for text in ["?", "[", r#"[{"key":["0x1"],"value":["0x1"]}"#, "[] []"] {
            assert!(parse(text).expect_err(text).to_string().starts_with("it is no JSON: "), "{text}");
        }
    }

    #[test]
    fn a_file_is_called_after_a_map_whatever_follows() {
        let maps = ["flows", "flows.bss", "stats"];
        for (file, map) in [
            ("flows.json", Some("flows")),
            ("flows", Some("flows")),
            ("flows.node7.json", Some("flows")),
            ("flows.bss.json", Some("flows.bss")),
            ("flows2.json", None),
            ("json", None),
        ] {
            assert_eq!(map_of(file, maps), map, "{file}");
        }
    }
}
