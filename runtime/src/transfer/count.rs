//! How many entries a map holds.

use std::time::{Duration, Instant};

use maplock_layout::map_type::Kind;

use super::calls::plain;
use super::drive::counts;
use super::drive::run::{iterate, iterator_btf_id};
use super::emit::inputs::Maps;
use super::emit::programs;
use super::error::TransferError;
use super::pieces::Pieces;
use crate::sys::Map;

/// Maps of at most so many entries are counted by a few calls: that takes less time than to load a program, and is not limited.
const SMALL: u32 = 4096;

/// How many entries `map` holds, if that can be told within `limit`. Arrays hold as many as they have room for. `None` if
/// it takes longer, and if the type does not tell: queues, stacks, ring buffers, storage, and those that can't be read.
#[must_use]
pub fn count(map: &Map, limit: Duration) -> Option<u64> {
    let start = Instant::now();
    let in_time = |map: &Map| {
        let late = start.elapsed() > limit;
        if late { Err(TransferError::kernel(map, "counting")(std::io::ErrorKind::TimedOut.into())) } else { Ok(()) }
    };
    let info = map.info();
    let row = info.map_type.row();
    match row.kind {
        Kind::Array => Some(info.max_entries.into()),
        Kind::Hash | Kind::LpmTrie if info.max_entries <= SMALL => by_calls(map, &|_| Ok(())),
        Kind::Hash => match count_prog(map) {
            Ok(prog) => iterate(&prog, map, &mut |_, _| in_time(map)).ok(),
            Err(_) => by_calls(map, &in_time),
        },
        _ if !row.listed => None,
        _ => by_calls(map, &in_time),
    }
}

fn by_calls(map: &Map, in_time: &dyn Fn(&Map) -> Result<(), TransferError>) -> Option<u64> {
    let mut entries = 0;
    let counted = plain::each_batch(map, &mut |keys, _| {
        entries += (keys.len() / map.info().key_size as usize) as u64;
        in_time(map)
    });
    counted.ok().map(|()| entries)
}

fn count_prog(map: &Map) -> std::io::Result<crate::sys::Prog> {
    let pieces = Pieces::new(map, &[]);
    let counts = counts::new()?;
    let maps = Maps::shared((map, map), None, &pieces, &counts);
    programs::count(maps, iterator_btf_id()?)?.load()
}
