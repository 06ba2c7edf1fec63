//! Any text as a lock, with its digests and checksums put right so that what is behind them is reached; and locks built of bytes.
#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use maplock_fuzz::{build, check_lock, check_pair};
use maplock_layout::Lock;
use maplock_layout::lock::LockProblem;

fuzz_target!(|data: &[u8]| {
    // A lock begins with `#`, or with `version`; no other input is worth to be read as one.
    match (data.first(), std::str::from_utf8(data)) {
        (Some(b'#' | b'v'), Ok(text)) => {
            if let Some(lock) = parse_with_right_digests(text) {
                check_lock(&lock);
            }
        }
        _ => _ = from_bytes(&mut Unstructured::new(data)),
    }
});

fn parse_with_right_digests(text: &str) -> Option<Lock> {
    let mut text = text.to_owned();
    for _ in 0..16 {
        match Lock::parse(&text) {
            Ok(lock) => return Some(lock),
            Err(error) => {
                assert!(error.line >= 1 && error.line <= text.split('\n').count(), "{error}");
                assert!(!error.to_string().is_empty());
                let (written, computed) = match error.problem {
                    LockProblem::Digest { written, computed, .. } => (written.to_string(), computed.to_string()),
                    LockProblem::Checksum { written, computed, .. } if !written.is_empty() => (written, computed),
                    _ => return None,
                };
                text = text.replace(&written, &computed);
            }
        }
    }
    None
}

fn from_bytes(u: &mut Unstructured<'_>) -> Result<()> {
    let first = build::observation(u)?;
    let mut locks = vec![first.lock];
    check_lock(&locks[0]);
    for _ in 0..u.int_in_range(1..=3)? {
        let observed = build::observation(u)?;
        check_lock(&observed.lock);
        for lock in &locks {
            check_pair(lock, &observed.lock);
        }
        let next = build::next(u, &locks[locks.len() - 1], &observed)?;
        check_lock(&next);
        for lock in &locks {
            check_pair(lock, &next);
        }
        locks.push(next);
    }
    Ok(())
}
