//! `maplock confirm`: away with the kept generations.

use std::path::PathBuf;

use super::args::ConfirmArgs;
use super::{failed, no_directory};
use crate::Said;
use crate::error::Error;

/// What became of the kept generations.
pub(crate) struct Confirmed {
    pub(crate) dir: PathBuf,
    /// How many were removed.
    pub(crate) removed: usize,
    /// How many were to stay.
    pub(crate) keep: usize,
}

pub(super) fn run(args: &ConfirmArgs) -> Result<Said, Error> {
    let dir = args.dir.display();
    let keep = args.keep;
    let removed = maplock::confirm_but(keep, &args.dir, args.wait.time)
        .map_err(|error| failed(format!("could not confirm {dir}"), error))?;
    if removed == 0 && !args.dir.exists() {
        return Err(no_directory(&args.dir));
    }
    Ok(Said::well(args.message_format.tell(&Confirmed { dir: args.dir.clone(), removed, keep })?))
}
