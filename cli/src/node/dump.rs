//! `maplock dump`: the entries of a pinned map.

use std::io::{self, Write};

use maplock::internals::inspect::{self, Layouts};
use maplock::internals::meta::Meta;
use maplock::internals::sys::bpffs::Dir;
use maplock::internals::sys::privileges::hint;
use maplock::internals::sys::{Batch, Map};
use maplock::layout::MapDef;

use super::args::DumpArgs;
use super::privileges;
use crate::Said;
use crate::error::Error;

/// The map that is dumped.
pub(crate) struct Pinned {
    pub(crate) def: MapDef,
}

/// A piece of a dump.
pub(crate) enum Piece<'a> {
    Begin,
    /// Its value, or that of each CPU.
    Entry {
        index: u64,
        key: &'a [u8],
        values: &'a [&'a [u8]],
    },
    End {
        entries: u64,
        is_cut: bool,
    },
}

pub(super) fn run(args: &DumpArgs) -> Result<Said, Error> {
    let shown = args.pin.display();
    let failed = || Error::new(format!("could not read the map at {shown}"));
    let map = Map::open(&args.pin).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let hint = hint(&error).unwrap_or_default();
            failed().because(format!("{error}{hint}")).help(privileges::help())
        }
        _ => failed().because(error).help("give the pin of a map, such as /sys/fs/bpf/NAME/flows"),
    })?;
    if map.info().key_size == 0 {
        let kind = map.info().map_type;
        let what = format!("entries of a {kind} have no keys");
        return Err(failed().because(what).help("`bpftool map dump` shows what it can"));
    }
    let dir = args.pin.parent().map(|dir| Meta::read(&Dir::at(dir))).transpose().unwrap_or_default().flatten();
    let observed = inspect::observe(&args.pin, &map, dir.as_ref(), &mut Layouts::default());
    let observed = observed.map_err(|error| failed().because(error))?;
    let pinned = Pinned { def: observed.def };
    if args.message_format.is_left_out() {
        return Ok(Said::well(String::new()));
    }
    let piece = args.message_format.entries();
    let mut out = io::BufWriter::new(io::stdout().lock());
    match print(&map, args.limit, |of| piece(&pinned, of), &mut out).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Said::well(String::new())),
        Err(error) => Err(failed().because(error)),
        Ok(()) => Ok(Said::well(String::new())),
    }
}

fn print(map: &Map, limit: Option<u64>, piece: impl Fn(Piece<'_>) -> String, out: &mut impl Write) -> io::Result<()> {
    let mut index = 0;
    out.write_all(piece(Piece::Begin).as_bytes())?;
    each(map, limit, |key, values| {
        out.write_all(piece(Piece::Entry { index, key, values }).as_bytes())?;
        index += 1;
        Ok(())
    })?;
    out.write_all(piece(Piece::End { entries: index, is_cut: limit == Some(index) }).as_bytes())
}

/// Hears of each entry: its key, and its value or that of each CPU. Up to `limit`.
fn each(map: &Map, limit: Option<u64>, mut entry: impl FnMut(&[u8], &[&[u8]]) -> io::Result<()>) -> io::Result<()> {
    let info = map.info();
    let is_per_cpu = info.map_type.is_per_cpu();
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
