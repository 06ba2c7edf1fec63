//! How entries are converted over one epoch: plain data.

use maplock_layout::conversion::{Act, Collide, Derived, Problems};
use maplock_layout::history::Converting;

/// How entries of a map are converted over one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    pub(crate) map: String,
    /// Digests that it leads between.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) how: How,
}

#[derive(Debug, Clone)]
pub(crate) enum How {
    Derived(Box<Derived>),
    /// The line that the daemon needs.
    ByHand(String),
    /// What is not answered.
    Open(Problems),
}

impl Conversion {
    /// What was answered of it, a phrase each.
    pub(crate) fn answers(&self) -> Vec<String> {
        match &self.how {
            How::Derived(derived) => answers(derived).collect(),
            How::ByHand(_) => vec!["converted by hand".to_owned()],
            How::Open(_) => Vec::new(),
        }
    }

    pub(crate) fn of(map: &str, step: &Converting<'_>) -> Self {
        let how = match step.derive() {
            Ok(Some(derived)) => How::Derived(Box::new(derived)),
            Ok(None) => How::ByHand(implementation(map, step)),
            Err(problems) => How::Open(problems),
        };
        Self { map: map.to_owned(), from: step.epoch.from.to_string(), to: step.epoch.to.to_string(), how }
    }
}

/// What the two layouts did not tell of the conversions that entries go through, or was done unasked: a phrase each.
pub(crate) fn answered(steps: &[Converting<'_>]) -> Vec<String> {
    let mut phrases = Vec::new();
    for step in steps {
        match step.derive() {
            Ok(Some(derived)) => phrases.extend(answers(&derived)),
            Ok(None) => phrases.push("converted by hand".to_owned()),
            Err(_) => {}
        }
    }
    phrases
}

fn answers(derived: &Derived) -> impl Iterator<Item = String> {
    let members = derived.members.iter().filter(|member| member.acts.iter().any(Act::is_answer));
    let members = members.map(|member| format!("{}: {member}", member.name()));
    members.chain(derived.leg.collide.map(of_one_key))
}

/// What becomes of entries whose keys become one.
pub(crate) fn of_one_key(collide: Collide) -> String {
    let what = match collide {
        Collide::Refuse => "the upgrade does not happen",
        Collide::Sum => "counts are added up, and of the rest one stays",
        Collide::KeepOne => "one of them stays",
    };
    format!("entries whose keys become one: {what}")
}

/// What a conversion by hand implements. The generated module calls the types of each map `Key` and `Value`.
fn implementation(map: &str, step: &Converting<'_>) -> String {
    let digest = step.epoch.from.to_string();
    format!("impl maplock::Migrate<previous::v{}::Value> for {map}::Value", &digest[..4])
}
