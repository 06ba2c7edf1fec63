//! `cargo maplock inspect`: the maps of objects, as pahole shows structs.

use crate::Said;
use crate::args::{InspectArgs, InspectFormat};
use crate::error::Error;
use crate::formats::{human::structs, json::layouts};
use crate::project;

pub(crate) fn run(args: &InspectArgs) -> Result<Said, Error> {
    let mut inputs = Vec::new();
    let paths = if args.objects.is_empty() { &args.input.object } else { &args.objects };
    if paths.is_empty() {
        let targets = project::targets(&args.input)?;
        inputs = project::inputs(&targets, &args.input.project)?;
    } else {
        let config = project::config_for_files(&args.input.project)?;
        // One by one: objects that have nothing to do with each other may define maps of one name.
        for object in project::named(paths) {
            inputs.push(project::read(&[object], &config)?);
        }
    }
    let objects: Vec<_> = inputs.iter().flat_map(|inputs| inputs.objects()).collect();
    let text = match args.message_format {
        InspectFormat::Human => structs::render(&objects),
        InspectFormat::Json => layouts::render(&objects),
    };
    Ok(Said::well(text?))
}
