//! `maplock recover`: the end of an upgrade that no start completes.

use std::path::PathBuf;

use maplock::{Recovery, Report, WayOut};

use super::args::RecoverArgs;
use super::{failed, no_directory};
use crate::Said;
use crate::error::Error;

/// What became of it.
pub(crate) struct Ended {
    pub(crate) dir: PathBuf,
    pub(crate) report: Report,
}

pub(super) fn run(args: &RecoverArgs) -> Result<Said, Error> {
    let way_out = if args.by.discard { WayOut::Discard } else { WayOut::ByCalls };
    let dir = args.dir.display();
    let report = Recovery::new(&args.dir, way_out)
        .wait(args.wait.time)
        .run()
        .map_err(|error| failed(format!("could not recover {dir}"), error))?;
    // Where a first installation was interrupted, there is none either.
    if !report.resumed && !report.taken_back && !report.discarded && !args.dir.exists() {
        return Err(no_directory(&args.dir));
    }
    Ok(Said::well(args.message_format.tell(&Ended { dir: args.dir.clone(), report })?))
}
