//! `cargo maplock explain`: the page of a rule.

use maplock_layout::rules;

use crate::Said;
use crate::args::ExplainArgs;
use crate::error::Error;

pub(crate) fn run(args: &ExplainArgs) -> Result<Said, Error> {
    match rules::find(&args.rule) {
        Some(rule) => Ok(Said::well(args.message_format.tell(rule)?)),
        None => {
            let help = match rules::suggest(&args.rule) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`cargo maplock rules` lists them".to_owned(),
            };
            Err(Error::new(format!("no rule is called `{}`", args.rule)).help(help))
        }
    }
}
