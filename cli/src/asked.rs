//! What is open of a conversion, with the whole command lines that answer it.

use std::error;
use std::fmt;

use maplock_layout::conversion::{Choice, Problems};

use crate::called;
use crate::error::Error;

/// Options that answer a question, each with a word behind it.
const ANSWERS: [&str; 6] = ["--rename", "--default", "--drop", "--cast", "--scale", "--collide"];

/// Why entries are not converted, as the cause of an error: a line for each mistake and each question.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) Problems);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problems { questions, mistakes, .. } = &self.0;
        let mistakes = mistakes.iter().map(|mistake| format!("{}: {}", mistake.answer, mistake.what));
        let lines: Vec<_> = mistakes.chain(questions.iter().map(|question| question.what.clone())).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl error::Error for Asked {}

/// Why entries of `map` are not converted: each question with what may be answered, then the commands to type.
pub(crate) fn error(map: &str, problems: &Problems) -> Error {
    let Problems { questions, mistakes, .. } = problems;
    let mut help = Vec::new();
    for question in questions {
        let choices: Vec<_> = question.choices.iter().map(ToString::to_string).collect();
        help.push(format!("{}: {}", question.path, choices.join(" | ")));
    }
    let what = match questions.len() {
        0 => format!("an answer for map `{map}` fits nothing"),
        1 => format!("entries of map `{map}` can't be converted before a question is answered"),
        more => format!("entries of map `{map}` can't be converted before {more} questions are answered"),
    };
    let error = Error::new(what).because(Asked(problems.clone()));
    if questions.is_empty() {
        return error;
    }
    let mut error = error.help(help.join("\n"));
    // What nobody can do by code either is no way on.
    if questions.iter().any(|question| question.choices == [Choice::Swap]) {
        return error;
    }
    let typed: Vec<_> = typed(std::env::args_os().map(|word| word.to_string_lossy().into_owned()));
    match &problems.first_answers {
        Some(first) => {
            let each = if questions.len() == 1 { "with the first answer" } else { "with the first answer to each" };
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            error = error.help(format!("{each}: {}", command(&typed, &first)));
        }
        None if mistakes.is_empty() => {
            let is_open =
                |choices: &[Choice]| choices.first().is_none_or(|choice| choice.with(&<_>::default()).is_none());
            let open = questions.iter().filter(|question| is_open(&question.choices));
            let open: Vec<_> = open.map(|question| format!("`{}`", question.path)).collect();
            error =
                error.help(format!("no answer about {} is safe in every case: choose one yourself", open.join(", ")));
        }
        None => {}
    }
    error.help(format!("written by yourself: {}", command(&without_answers(&typed), &["--by-hand".to_owned()])))
}

/// The words behind the program's name, as they were typed.
fn typed(args: impl Iterator<Item = String>) -> Vec<String> {
    args.enumerate().filter(|(at, word)| *at > 1 || *at == 1 && word != "maplock").map(|(_, word)| word).collect()
}

fn without_answers(typed: &[String]) -> Vec<String> {
    let mut words = typed.iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if ANSWERS.contains(&word.as_str()) {
            words.next();
        } else if !ANSWERS.iter().any(|answer| word.strip_prefix(answer).is_some_and(|rest| rest.starts_with('='))) {
            kept.push(word.clone());
        }
    }
    kept
}

fn command(typed: &[String], more: &[String]) -> String {
    let typed = typed.iter().map(|word| as_typed(word)).collect::<Vec<_>>().join(" ");
    format!("{} {typed} {}", called::name(), more.join(" "))
}

/// A word as a shell takes it.
fn as_typed(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.=/,:+@%".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_is_what_was_typed_and_more() {
        let mut line = words("cargo-maplock maplock accept stats --drop a --collide=sum --reason");
        line.push("it's 64 bits".to_owned());
        let typed = typed(line.into_iter());
        let whole = command(&typed, &words("--default key.port=0"));
        let answers = "accept stats --drop a --collide=sum --reason 'it'\\''s 64 bits' --default key.port=0";
        assert_eq!(whole, format!("cargo maplock {answers}"));
        let by_hand = command(&without_answers(&typed), &words("--by-hand"));
        assert_eq!(by_hand, "cargo maplock accept stats --reason 'it'\\''s 64 bits' --by-hand");
        assert_eq!(super::typed(words("target/cargo-maplock accept maplock").into_iter()), ["accept", "maplock"]);
    }
}
