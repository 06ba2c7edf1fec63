//! `cargo maplock inspect`: the maps of objects, as pahole shows structs.

use maplock_codegen::{InputObject, Inputs};

use crate::Said;
use crate::args::InspectArgs;
use crate::error::Error;
use crate::project;

/// Objects, with their maps.
pub(crate) struct Objects(Vec<Inputs>);

impl Objects {
    pub(crate) fn all(&self) -> impl Iterator<Item = &InputObject> {
        self.0.iter().flat_map(Inputs::objects)
    }
}

pub(crate) fn run(args: &InspectArgs) -> Result<Said, Error> {
    let mut inputs = Vec::new();
    let paths = if args.objects.is_empty() { &args.input.object } else { &args.objects };
    if paths.is_empty() {
        let targets = project::targets(&args.input)?;
        let read = project::inputs(&targets.iter().collect::<Vec<_>>(), &args.input.project)?;
        inputs = read.into_iter().collect::<Result<_, _>>()?;
    } else {
        let config = project::config_for_files(&args.input.project, args.input.config.as_deref())?;
        // One by one: objects that have nothing to do with each other may define maps of one name.
        for object in project::named(paths) {
            inputs.push(project::read(&[object], &config)?);
        }
    }
    Ok(Said::well(args.message_format.tell(&Objects(inputs))?))
}
