//! Says of an LPM trie of counts, as a process that can be stopped at its system calls: whether it would be settled exactly, and whether it was.

use std::process::ExitCode;

use maplock::internals::sys::{Map, NewMap, tries_heed_noexist};
use maplock::internals::transfer::{Sum, Transfer, TransferOptions, new_base};
use maplock::layout::map::MapType;

fn main() -> ExitCode {
    match told() {
        Ok((would, was)) => {
            eprintln!("would: {would}, was: {was}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn told() -> Result<(bool, bool), Box<dyn std::error::Error>> {
    #[cfg(target_arch = "x86_64")]
    maplock_tests::trace::offer()?;
    // Asked before anything else is written.
    _ = tries_heed_noexist();
    let trie = || Map::create(&NewMap { flags: 1, ..NewMap::new(MapType::LPM_TRIE, 12, 8, 64) });
    let (from, to) = (trie()?, trie()?);
    let base = new_base(&from)?;
    let sums = [Sum { offset: 0, width: 8, signed: false }];
    let transfer = Transfer { from: &from, to: &to, base: Some(&base), sums: &sums };
    let would = transfer.prepare(&TransferOptions::default())?.inexact().is_none();
    Ok((would, transfer.settle(&mut TransferOptions::default())?.is_exact()))
}
