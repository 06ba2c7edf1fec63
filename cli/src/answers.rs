//! What the command line answers of a conversion.

use clap::Args;
use maplock_layout::conversion::{Answers, Cast, Collide, Scale};

use crate::error::NoAnswer;

/// Above these options in a help. On each of them: for the struct, it would stay for what follows there.
const HEADING: &str = "With --on-upgrade migrate";

/// How entries become those of the new layout, if the two layouts don't tell.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConvertArgs {
    /// A member that had another name or place: NEW=OLD, such as bytes=octets or key.port=key.dport
    #[arg(help_heading = HEADING, long, value_name = "NEW=OLD", value_parser = pair)]
    rename: Vec<(String, String)>,

    /// The value of a new member in old entries, such as draining=1 or 'name="none"'
    #[arg(help_heading = HEADING, long, value_name = "MEMBER=VALUE", value_parser = pair)]
    default: Vec<(String, String)>,

    /// A member of the old layout to give up
    #[arg(help_heading = HEADING, long, value_name = "MEMBER")]
    drop: Vec<String>,

    /// What becomes of numbers that do not fit: refuse, saturate or truncate
    #[arg(help_heading = HEADING, long, value_name = "MEMBER=HOW", value_parser = cast)]
    cast: Vec<(String, Cast)>,

    /// A member in another unit: the factor for old numbers, such as seen_us=1/1000
    #[arg(help_heading = HEADING, long, value_name = "MEMBER=N[/M]", value_parser = scale)]
    scale: Vec<(String, Scale)>,

    /// What becomes of entries that get the same key: refuse, sum or keep-one
    #[arg(help_heading = HEADING, long, value_name = "HOW", value_parser = collide)]
    collide: Option<Collide>,

    /// The daemon converts entries by its own code: `impl maplock::Migrate`
    #[arg(help_heading = HEADING, long)]
    by_hand: bool,
}

impl ConvertArgs {
    /// The answers; `None` if nothing is said.
    pub(crate) fn answers(&self) -> Option<Answers> {
        let answers = Answers {
            by_hand: self.by_hand,
            rename: self.rename.iter().map(|(new, old)| (path(new), path(old))).collect(),
            default: self.default.iter().map(|(member, value)| (path(member), value.clone())).collect(),
            drop: self.drop.iter().map(|member| path(member)).collect(),
            cast: self.cast.iter().map(|(member, cast)| (path(member), *cast)).collect(),
            scale: self.scale.iter().map(|(member, scale)| (path(member), *scale)).collect(),
            collide: self.collide,
        };
        (!answers.is_empty()).then_some(answers)
    }
}

/// A member of the value, unless the path says of what.
fn path(text: &str) -> String {
    let names_side = ["key", "value"].iter().any(|side| {
        text.strip_prefix(side).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
    });
    if names_side { text.to_owned() } else { format!("value.{text}") }
}

fn pair(text: &str) -> Result<(String, String), NoAnswer> {
    let (member, other) = text.split_once('=').ok_or("write MEMBER=…")?;
    Ok((member.to_owned(), other.to_owned()))
}

fn cast(text: &str) -> Result<(String, Cast), NoAnswer> {
    let (member, how) = pair(text)?;
    let cast = Cast::from_name(&how).ok_or_else(|| format!("`{how}` is not refuse, saturate or truncate"))?;
    Ok((member, cast))
}

fn scale(text: &str) -> Result<(String, Scale), NoAnswer> {
    let (member, by) = pair(text)?;
    let scale = Scale::parse(&by).ok_or_else(|| format!("`{by}` is no factor: write 1000, or 1/1000"))?;
    Ok((member, scale))
}

fn collide(text: &str) -> Result<Collide, NoAnswer> {
    Collide::from_name(text).ok_or_else(|| format!("`{text}` is not refuse, sum or keep-one").into())
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_path_without_a_side_is_of_the_value() {
        for (text, whole) in [
            ("bytes", "value.bytes"),
            ("stats.bytes", "value.stats.bytes"),
            ("key.port", "key.port"),
            ("value.port", "value.port"),
            ("value", "value"),
            ("key[]", "key[]"),
            ("keys.port", "value.keys.port"),
        ] {
            assert_eq!(path(text), whole);
        }
    }
}
