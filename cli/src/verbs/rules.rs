//! `cargo maplock rules`: all rules, with their levels here.

use maplock_layout::Config;

use crate::Said;
use crate::args::{Input, Project, RulesArgs};
use crate::error::Error;
use crate::project::{self, Home};

pub(crate) fn run(args: &RulesArgs) -> Result<Said, Error> {
    let project = Project {
        manifest_path: args.manifest_path.clone(),
        package: args.package.iter().cloned().collect(),
        ..Project::default()
    };
    let config = match project::home(&project)? {
        _ if args.config.is_some() => project::config_for_files(&project, args.config.as_deref())?,
        None => Config::default(),
        Some(Home::File(file)) => project::config_for_files(&project, Some(&file))?,
        Some(Home::Cargo(_)) if args.package.is_some() => {
            project::target(&Input { project, ..Input::default() })?.config
        }
        Some(Home::Cargo(manifest)) => project::config(&project::parent(&manifest))?,
    };
    Ok(Said::well(args.message_format.tell(&config.levels)?))
}
