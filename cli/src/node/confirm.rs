//! `maplock confirm`: away with the kept generation.

use std::path::PathBuf;

use super::args::ConfirmArgs;
use super::failed;
use crate::Said;
use crate::error::Error;

/// What became of the kept generation.
pub(crate) struct Confirmed {
    pub(crate) dir: PathBuf,
    /// False where there was none.
    pub(crate) was_kept: bool,
}

pub(super) fn run(args: &ConfirmArgs) -> Result<Said, Error> {
    let dir = args.dir.display();
    let was_kept = maplock::confirm(&args.dir, args.wait.time)
        .map_err(|error| failed(format!("could not confirm {dir}"), error))?;
    Ok(Said::well(args.message_format.tell(&Confirmed { dir: args.dir.clone(), was_kept })?))
}
