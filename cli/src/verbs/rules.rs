//! `cargo maplock rules`: all rules, with their levels here.

use maplock_layout::Config;

use crate::Said;
use crate::args::{Input, Project, RulesArgs, RulesFormat};
use crate::error::Error;
use crate::formats::rule_table;
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
    Ok(Said::well(match args.message_format {
        RulesFormat::Human => rule_table::human(&config.levels),
        RulesFormat::Json => rule_table::json(&config.levels)?,
        RulesFormat::Markdown => rule_table::markdown(&config.levels),
    }))
}
