//! `cargo maplock rules`: all rules, with their levels here.

use maplock_layout::Config;

use crate::Said;
use crate::args::{Input, Project, RulesArgs};
use crate::error::Error;
use crate::project;

pub(crate) fn run(args: &RulesArgs) -> Result<Said, Error> {
    let project = Project {
        manifest_path: args.manifest_path.clone(),
        package: args.package.iter().cloned().collect(),
        ..Project::default()
    };
    let config = match project::manifest(&project)? {
        None => Config::default(),
        Some(_) if args.package.is_some() => project::target(&Input { project, ..Input::default() })?.config,
        Some(manifest) => project::config(&project::parent(&manifest))?,
    };
    Ok(Said::well(args.message_format.tell(&config.levels)?))
}
