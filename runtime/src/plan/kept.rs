//! What becomes of the kept generations.

use std::fmt;

use serde::Serialize;

/// A generation that is kept before an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptNow {
    /// Its number; `None` if nothing tells one.
    pub generation: Option<u64>,
    /// A roll-back left it: it is newer than the live one.
    pub is_newer: bool,
}

/// What is kept after an upgrade besides the generation that it replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptThen {
    /// The numbers of those that stay, the newest first.
    pub stay: Vec<Option<u64>>,
    /// Of those that go.
    pub go: Vec<Option<u64>>,
}

impl KeptThen {
    /// What becomes of those that are kept `now` if so many are kept, the one that is replaced included; all stay if nothing changes.
    pub(super) fn of(now: &[KeptNow], keep: usize, leaves_kept: bool) -> Self {
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for kept in now {
            let stays = leaves_kept || !kept.is_newer && stay.len() + 1 < keep;
            if stays { stay.push(kept.generation) } else { go.push(kept.generation) }
        }
        Self { stay, go }
    }
}

/// `generation 3 stays kept behind it; generations 2 and 1 go`
impl fmt::Display for KeptThen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("stay kept behind it", "stays kept behind it", &self.stay), ("go", "goes", &self.go)];
        let parts = parts.into_iter().filter(|(_, _, which)| !which.is_empty());
        let words = parts
            .map(|(many, one, which)| format!("{} {}", generations(which), if which.len() == 1 { one } else { many }));
        f.write_str(&words.collect::<Vec<_>>().join("; "))
    }
}

/// `generation 3`, `generations 3, 2 and one without a number`
fn generations(which: &[Option<u64>]) -> String {
    let named: Vec<_> = which
        .iter()
        .map(|number| number.map_or_else(|| "one without a number".to_owned(), |of| of.to_string()))
        .collect();
    match named.as_slice() {
        [] => String::new(),
        [one] => format!("generation {one}"),
        [first @ .., last] => format!("generations {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn then(kept: &[(u64, bool)], keep: usize, leaves_kept: bool) -> String {
        let now = kept.iter().map(|&(number, is_newer)| KeptNow { generation: Some(number), is_newer });
        KeptThen::of(&now.collect::<Vec<_>>(), keep, leaves_kept).to_string()
    }

    #[test]
    fn newer_generations_go_and_so_do_older_ones_for_which_there_is_no_place() {
        let of = |kept: &[(u64, bool)], keep| then(kept, keep, false);
        assert_eq!(of(&[], 3), "");
        assert_eq!(of(&[(3, false)], 1), "generation 3 goes");
        assert_eq!(
            of(&[(5, true), (3, false), (2, false)], 2),
            "generation 3 stays kept behind it; generations 5 and 2 go"
        );
        assert_eq!(of(&[(3, false), (2, false)], 9), "generations 3 and 2 stay kept behind it");
    }

    #[test]
    fn a_restart_leaves_them_all() {
        assert_eq!(then(&[(5, true), (3, false)], 1, true), "generations 5 and 3 stay kept behind it");
    }
}
