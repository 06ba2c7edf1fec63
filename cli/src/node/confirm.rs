//! `maplock confirm`: away with the generation before.

use serde_json::json;

use super::args::{ConfirmArgs, ShortFormat};
use super::failed;
use crate::Said;
use crate::error::Error;
use crate::terminal::{BOLD, GOOD};

pub(super) fn run(args: &ConfirmArgs) -> Result<Said, Error> {
    let dir = args.dir.display();
    let was_kept = maplock::confirm(&args.dir, args.wait.time)
        .map_err(|error| failed(format!("could not confirm {dir}"), &error))?;
    Ok(Said::well(match (args.message_format, was_kept) {
        (ShortFormat::Json, _) => format!("{}\n", json!({ "dir": args.dir, "removed": was_kept })),
        (ShortFormat::Human, true) => {
            format!("{GOOD}confirmed{GOOD:#} {BOLD}{dir}{BOLD:#}: the generation before is removed\n")
        }
        (ShortFormat::Human, false) => format!("{BOLD}{dir}{BOLD:#}: no generation is kept, there is nothing to do\n"),
    }))
}
