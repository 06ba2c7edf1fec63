//! Queues and stacks: entries without keys, moved when nothing writes the old map any more.

use maplock_layout::map::MapType;
use maplock_layout::map_type::Kind;

use super::super::convert::way::Way;
use super::super::drive::counts;
use super::super::drive::programs::work;
use super::super::drive::run::run;
use super::super::emit::inputs::Count;
use super::super::emit::programs;
use super::super::error::TransferError;
use super::super::types::{Method, Settled, TransferOptions};
use crate::sys::{Map, NewMap};

/// Entries that are moved in one go. A stack is moved whole, so that its order stays.
const CHUNK: u32 = 4096;

/// Moves all entries that are left. What the new map has no room for stays in the old one.
pub(in crate::transfer) struct Moving {
    counts: Map,
    prog: crate::sys::Prog,
}

impl Moving {
    pub(in crate::transfer) fn new(from: &Map, to: &Map) -> std::io::Result<Self> {
        /// `BPF_MAX_LOOPS`: for more, `bpf_loop` does nothing at all.
        const MAX_LOOPS: u32 = 1 << 23;
        let info = from.info();
        if info.map_type.row().kind == Kind::Stack && info.max_entries > MAX_LOOPS {
            return Err(std::io::Error::other("no program loops over so many entries"));
        }
        let counts = counts::new()?;
        let buffer = work(info.value_size, 1)?;
        let new = NewMap::new(MapType::STACK, 0, info.value_size, info.max_entries);
        let turned = (info.map_type.row().kind == Kind::Stack).then(|| Map::create(&new)).transpose()?;
        let prog = programs::move_all(from, to, turned.as_ref(), &counts, &buffer)?.load()?;
        Ok(Self { counts, prog })
    }

    pub(in crate::transfer) fn settle(
        &self,
        from: &Map,
        to: &Map,
        options: &mut TransferOptions<'_>,
    ) -> Result<Settled, TransferError> {
        let is_stack = from.info().map_type.row().kind == Kind::Stack;
        let chunk = if is_stack { from.info().max_entries } else { CHUNK };
        let mut moved = 0;
        counts::forget(&self.counts)?;
        loop {
            run(&self.prog, 0, chunk).map_err(TransferError::kernel(from, "moving entries"))?;
            let now = counts::get(&self.counts, Count::Inserted)?;
            options.tell(now, None);
            if let Some((_, error)) = counts::failed(&self.counts)? {
                return Err(TransferError::write(to, 1, error));
            }
            if now - moved < chunk.into() {
                return Ok(Settled { inserted: now, method: Some(Method::Kernel), ..Settled::default() });
            }
            moved = now;
        }
    }
}

/// Moves all entries that are left, each as what it becomes, by system calls: see [`by_calls`] for what a kill leaves.
pub(in crate::transfer) fn converted(
    from: &Map,
    to: &Map,
    way: &Way,
    options: &mut TransferOptions<'_>,
) -> Result<Settled, TransferError> {
    let mut values = Vec::new();
    move_by_calls(from, to, options, &mut |value| {
        values.clear();
        let failed = |source| TransferError::ByHand { map: from.info().name.clone(), key: "none".to_owned(), source };
        way.convert(&[], value, &mut |_, value| values.push(value.to_vec())).map_err(failed)?;
        values.iter().try_for_each(|value| to.update(&[], value, 0).map_err(|error| TransferError::write(to, 1, error)))
    })
}

/// By system calls, if the kernel takes no such program. Killed between two calls, an entry of a queue is in both maps; those of a
/// stack are lost as long as they are in the map between the two, in which they are turned round.
pub(in crate::transfer) fn by_calls(
    from: &Map,
    to: &Map,
    options: &mut TransferOptions<'_>,
) -> Result<Settled, TransferError> {
    move_by_calls(from, to, options, &mut |value| {
        to.update(&[], value, 0).map_err(|error| TransferError::write(to, 1, error))
    })
}

fn move_by_calls(
    from: &Map,
    to: &Map,
    options: &mut TransferOptions<'_>,
    push: &mut dyn FnMut(&[u8]) -> Result<(), TransferError>,
) -> Result<Settled, TransferError> {
    let failed = TransferError::kernel(from, "moving entries");
    let mut settled = Settled { method: Some(Method::OneByOne), ..Settled::default() };
    let is_stack = from.info().map_type.row().kind == Kind::Stack;
    let new = NewMap::new(MapType::STACK, 0, from.info().value_size, from.info().max_entries);
    let turned = is_stack.then(|| Map::create(&new)).transpose().map_err(&failed)?;
    if let Some(turned) = &turned {
        while let Some(value) = from.take(&[]).map_err(&failed)? {
            turned.update(&[], &value, 0).map_err(&failed)?;
        }
    }
    let source = turned.as_ref().unwrap_or(from);
    while let Some(value) = source.lookup(&[]).map_err(&failed)? {
        if let Err(error) = push(&value) {
            while let Some(value) = turned.as_ref().map_or(Ok(None), |turned| turned.take(&[])).map_err(&failed)? {
                from.update(&[], &value, 0).map_err(&failed)?;
            }
            return Err(error);
        }
        source.take(&[]).map_err(&failed)?;
        settled.inserted += 1;
        options.tell(settled.inserted, None);
    }
    tracing::debug!(map = to.info().name, ?settled, "moved by system calls");
    Ok(settled)
}
