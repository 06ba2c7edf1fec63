//! Whether a conversion has a part in what means something else now.

use super::Choice;
use super::plan::{Act, MemberPlan, Question};
use crate::diff::meanings_between;
use crate::layout::Layout;
use crate::map::MapDef;

/// What means something else by its version, and is carried over as it is: nobody has said how old entries get the new meaning.
pub(super) fn unsaid(old: &MapDef, new: &MapDef, plans: &[MemberPlan]) -> Vec<Question> {
    let mut questions = Vec::new();
    if old.version != new.version && !plans.iter().any(gives_meaning) {
        questions.push(question("map", format!("map `{}`", new.name)));
    }
    let parts: [(_, Option<&Layout>, Option<&Layout>); 2] =
        [("key", old.key.as_deref(), new.key.as_deref()), ("value", old.value.as_deref(), new.value.as_deref())];
    for (part, was, is) in parts {
        let Some((was, is)) = was.zip(is) else { continue };
        for finding in meanings_between(was, is) {
            let path = finding.subject.member().map_or_else(|| part.to_owned(), |member| format!("{part}.{member}"));
            let is_within = |plan: &MemberPlan| {
                let rest = plan.path().strip_prefix(&path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            if !plans.iter().any(|plan| is_within(plan) && gives_meaning(plan)) {
                let what = format!("`{path}`");
                questions.push(question(&path, what));
            }
        }
    }
    questions
}

fn question(path: &str, of: String) -> Question {
    let what = format!("{of} means something else now, and nothing says how its old entries get that meaning");
    let choices = vec![Choice::Open("scale", "MEMBER=FACTOR".to_owned()), Choice::ByHand, Choice::Swap];
    Question { path: path.to_owned(), what, choices }
}

/// True if a member is not what it was. Another name or place gives a number no other meaning.
fn gives_meaning(plan: &MemberPlan) -> bool {
    let is_kept = |act: &Act| {
        matches!(act, Act::Renamed(_) | Act::Nested(_) | Act::Moved { .. } | Act::Reread(..) | Act::Elements)
    };
    plan.acts.iter().any(|act| !is_kept(act))
}
