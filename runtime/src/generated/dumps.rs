//! Entries of a map as `bpftool map dump -j` writes them.

use std::path::Path;

use serde_json::Value;

/// Key and value of an entry.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// The entries in a file; of a per-CPU map, one for each CPU.
///
/// # Errors
/// Where it is no such dump: a phrase with the file's name.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|problem| {
        format!("{}: {problem}; write it with `bpftool -j map dump pinned PIN > FILE`", path.display())
    })
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let dump: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let entries = dump.as_array().ok_or("is no array of entries")?;
    let mut out = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let lacks = |what: &str| format!("entry {index} has no `{what}` of bytes such as \"0x0a\"");
        let key = bytes(&entry["key"]).ok_or_else(|| lacks("key"))?;
        match entry["values"].as_array() {
            Some(cpus) => {
                for of_cpu in cpus {
                    out.push((key.clone(), bytes(&of_cpu["value"]).ok_or_else(|| lacks("value"))?));
                }
            }
            None => out.push((key, bytes(&entry["value"]).ok_or_else(|| lacks("value"))?)),
        }
    }
    Ok(out)
}

fn bytes(array: &Value) -> Option<Vec<u8>> {
    let byte = |byte: &Value| u8::from_str_radix(byte.as_str()?.strip_prefix("0x")?, 16).ok();
    array.as_array()?.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_bpftool_writes_is_read() {
        let text = r#"[{"key":["0x01","0x00"],"value":["0xff"],"formatted":{"key":1,"value":{"a":255}}},
            {"key":["0x02","0x00"],"values":[{"cpu":0,"value":["0x10"]},{"cpu":1,"value":["0x20"]}]}]"#;
        let expected = [(vec![1, 0], vec![255]), (vec![2, 0], vec![16]), (vec![2, 0], vec![32])];
        assert_eq!(parse(text).expect("a dump"), expected);
        assert_eq!(parse("[]").expect("an empty one"), []);
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        assert_eq!(parse("{}").expect_err("no array"), "is no array of entries");
        let error = parse(r#"[{"key":[1],"value":["0xff"]}]"#).expect_err("no text");
        assert_eq!(error, "entry 0 has no `key` of bytes such as \"0x0a\"");
        assert!(parse("?").expect_err("no JSON").starts_with("is no JSON: "));
    }
}
