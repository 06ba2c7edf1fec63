//! Lists in a sentence, with what is left out of them.

/// `a, b and c`
#[must_use]
pub fn list(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The first `most` of them, and how many more of `what` there are: `a, b and 3 more members`.
#[must_use]
pub fn first(words: impl IntoIterator<Item = String>, most: usize, what: &str) -> String {
    let mut told: Vec<_> = words.into_iter().collect();
    let more = told.len().saturating_sub(most);
    told.truncate(most);
    match more {
        0 => {}
        1 => told.push(format!("1 more {what}")),
        more => told.push(format!("{more} more {what}s")),
    }
    list(&told)
}

/// Most changes of a map that one sentence tells.
const MOST_CHANGES: usize = 3;

/// Changes of a map, given worst first: each of a few, and of many the worst and how many more there are. A change may have a comma
/// of its own, so that semicolons are between them.
#[must_use]
pub fn changes(phrases: &[String]) -> String {
    let mut told = phrases.to_vec();
    if told.len() > MOST_CHANGES {
        told.truncate(MOST_CHANGES - 1);
        told.push(format!("{} more changes", phrases.len() - told.len()));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(number: usize) -> Vec<String> {
        (0..number).map(|at| ["a", "b", "c", "d", "e"][at].to_owned()).collect()
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        assert_eq!([0, 1, 2, 3].map(|number| list(&words(number))), ["", "a", "a and b", "a, b and c"]);
        assert_eq!(
            [2, 3, 5].map(|number| first(words(number), 2, "member")),
            ["a and b", "a, b and 1 more member", "a, b and 3 more members"]
        );
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|number| changes(&words(number))),
            ["", "a", "a; b", "a; b; c", "a; b; 2 more changes", "a; b; 3 more changes"]
        );
    }
}
