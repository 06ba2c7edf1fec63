//! What becomes of entries that go back to an older layout: as sentences, and for programs.

use serde_json::{Value, json};

use super::types::{Action, MapPlan, Since};
use crate::transfer::Found;

impl Action {
    /// True if a map of the kept generation is returned to.
    #[must_use]
    pub fn returns_to_kept(&self) -> bool {
        matches!(self, Self::TakeBack { .. } | Self::CarryBack { .. })
    }

    /// What was found in entries that go back to an older layout.
    pub(super) fn goes_back(&self) -> Option<Value> {
        let found = match self {
            Self::Convert { back: Some(back), .. } => back.found?,
            Self::TakeBack { since: Since::ConvertedBack { found, .. }, .. } => (*found)?,
            _ => return None,
        };
        let Found { entries, keys, values, unfit, is_all } = found;
        Some(json!({ "entries": entries, "keys": keys, "values": values, "unfit": unfit, "is_all": is_all }))
    }
}

impl MapPlan {
    /// What entries that go back lose, a phrase each; `None` if none go back.
    pub(super) fn goes_back_words(&self) -> Option<Vec<String>> {
        let map = &self.map;
        let (found, keys, values) = match &self.action {
            Action::Convert { back: Some(back), .. } => {
                let members: Vec<_> = back.together.iter().map(String::as_str).collect();
                let keys = match members.is_empty() {
                    true => "have a key that the older layout has no place for".to_owned(),
                    false => format!("lose {}, and are put together", members.join(", ")),
                };
                (back.found, keys, "lose what the older layout has no place for")
            }
            Action::TakeBack { since: Since::ConvertedBack { found, .. }, .. } => {
                let keys = "have a key that the older layout has no place for, and stay behind".to_owned();
                (*found, keys, "hold what the older layout has no place for, and that does not go back")
            }
            _ => return None,
        };
        let Some(found) = found else {
            return Some(vec![format!("what the older layout of `{map}` has no place for does not go back")]);
        };
        let of = |count: u64, what: &str| {
            let least = if found.is_all { "" } else { "at least " };
            (count > 0).then(|| format!("{least}{count} of {} entries of `{map}` {what}", found.entries))
        };
        let unfit = "do not fit the older layout, so the upgrade will end in an error";
        let mut words: Vec<_> =
            [of(found.unfit, unfit), of(found.keys, &keys), of(found.values, values)].into_iter().flatten().collect();
        if words.is_empty() {
            // Programs go on writing: that nothing is lost can't be said.
            words.push(match found.is_all {
                true => format!("every entry of `{map}` goes back whole as it is now"),
                false => format!("the first {} entries of `{map}` go back whole as they are now", found.entries),
            });
        }
        Some(words)
    }
}
