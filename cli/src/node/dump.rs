//! `maplock dump`: the entries of a pinned map.

use std::io::{self, Write};

use maplock::inspect::{self, Layouts};
use maplock::layout::MapDef;
use maplock::meta::Meta;
use maplock::sys::{Batch, Map};
use serde_json::{Value, json};

use super::args::DumpArgs;
use super::values::members;
use crate::Said;
use crate::error::Error;

pub(super) fn run(args: &DumpArgs) -> Result<Said, Error> {
    let shown = args.pin.display();
    let failed =
        |error: &dyn std::fmt::Display| Error::new(format!("could not read the map at {shown}")).because(error);
    let map = Map::open(&args.pin)
        .map_err(|error| failed(&error).help("give the pin of a map, such as /sys/fs/bpf/NAME/flows"))?;
    if map.info().key_size == 0 {
        let kind = map.info().map_type;
        return Err(failed(&format!("entries of a {kind} have no keys")).help("`bpftool map dump` shows what it can"));
    }
    let dir = args.pin.parent().map(Meta::read).transpose().unwrap_or_default().flatten();
    let observed =
        inspect::observe(&args.pin, &map, dir.as_ref(), &mut Layouts::default()).map_err(|error| failed(&error))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = if args.json {
        json_of(&map, &observed.def, args.limit, &mut out)
    } else {
        human(&map, &observed.def, args.limit, &mut out)
    };
    match printed.and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Said::well(String::new())),
        Err(error) => Err(failed(&error)),
        Ok(()) => Ok(Said::well(String::new())),
    }
}

/// Hears of each entry: its key, and its value or that of each CPU. Up to `limit`.
fn each(map: &Map, limit: Option<u64>, mut entry: impl FnMut(&[u8], &[&[u8]]) -> io::Result<()>) -> io::Result<()> {
    use maplock::layout::map::MapType as T;
    let info = map.info();
    let is_per_cpu = matches!(info.map_type, T::PERCPU_HASH | T::LRU_PERCPU_HASH | T::PERCPU_ARRAY);
    let (key_size, value_size) = (info.key_size as usize, info.value_size as usize);
    let part = if is_per_cpu { value_size.next_multiple_of(8) } else { map.value_bytes() };
    let mut left = limit.unwrap_or(u64::MAX);
    let mut tell = |keys: &[u8], values: &[u8]| {
        for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(map.value_bytes())) {
            if left == 0 {
                break;
            }
            left -= 1;
            let values: Vec<_> = value.chunks_exact(part).map(|value| &value[..value_size]).collect();
            entry(key, &values)?;
        }
        Ok::<_, io::Error>(left > 0)
    };
    let mut batch = Batch::default();
    let mut has_batches = true;
    while has_batches && !batch.at_end {
        match map.lookup_batch(&mut batch, 1024) {
            Ok(()) => {}
            // The type has none.
            Err(_) if batch.count == 0 => has_batches = false,
            Err(error) => return Err(error),
        }
        if has_batches
            && !tell(&batch.keys[..batch.count * key_size], &batch.values[..batch.count * map.value_bytes()])?
        {
            return Ok(());
        }
    }
    if has_batches {
        return Ok(());
    }
    let mut key = map.next_key(None)?;
    // The key behind one that was deleted is the first again.
    let mut turns = u64::from(info.max_entries) * 8 + 1024;
    while let Some(current) = key.filter(|_| turns > 0) {
        turns -= 1;
        if let Some(value) = map.lookup(&current)?
            && !tell(&current, &value)?
        {
            return Ok(());
        }
        key = map.next_key(Some(&current))?;
    }
    Ok(())
}

/// As `bpftool map dump -j`: bytes, and beside them the members.
fn json_of(map: &Map, def: &MapDef, limit: Option<u64>, out: &mut impl Write) -> io::Result<()> {
    let bytes = |of: &[u8]| of.iter().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>();
    let object = |layout: Option<&maplock::layout::Layout>, name, of: &[u8]| -> Value {
        members(layout, name, of).into_iter().map(|(name, value)| (name, Value::String(value))).collect()
    };
    let mut is_first = true;
    out.write_all(b"[")?;
    each(map, limit, |key, values| {
        let key_members = object(def.key.as_deref(), "key", key);
        let value_of = |value: &[u8]| object(def.value.as_deref(), "value", value);
        let document = match values {
            [value] => json!({
                "key": bytes(key),
                "value": bytes(value),
                "formatted": { "key": key_members, "value": value_of(value) },
            }),
            values => {
                let cpus = values.iter().enumerate();
                let raw: Vec<_> =
                    cpus.clone().map(|(cpu, value)| json!({ "cpu": cpu, "value": bytes(value) })).collect();
                let told: Vec<_> = cpus.map(|(cpu, value)| json!({ "cpu": cpu, "value": value_of(value) })).collect();
                json!({ "key": bytes(key), "values": raw, "formatted": { "key": key_members, "values": told } })
            }
        };
        write!(out, "{}{document}", if is_first { "\n" } else { ",\n" })?;
        is_first = false;
        Ok(())
    })?;
    out.write_all(b"\n]\n")
}

fn human(map: &Map, def: &MapDef, limit: Option<u64>, out: &mut impl Write) -> io::Result<()> {
    let line = |of: Vec<(String, String)>| {
        of.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    };
    let mut entries: u64 = 0;
    each(map, limit, |key, values| {
        entries += 1;
        let key = line(members(def.key.as_deref(), "key", key));
        match values {
            [value] => writeln!(out, "{key}  ->  {}", line(members(def.value.as_deref(), "value", value))),
            values => {
                writeln!(out, "{key}")?;
                values.iter().enumerate().try_for_each(|(cpu, value)| {
                    writeln!(out, "  cpu {cpu}  ->  {}", line(members(def.value.as_deref(), "value", value)))
                })
            }
        }
    })?;
    let cut = if limit == Some(entries) { ", and maybe more" } else { "" };
    writeln!(
        out,
        "{} of {}{cut}",
        crate::outcome::count(usize::try_from(entries).unwrap_or(0), "entry").replace("entrys", "entries"),
        def.name
    )
}
