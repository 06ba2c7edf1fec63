//! The walk in a terminal: each map that waits, with what can be answered by a number.
//!
//! An answer is a command of ours, which runs here: what it still asks, the reader is asked.

use std::io::{self, BufRead as _, Write as _};

use clap::Parser as _;
use maplock_codegen::report::Command;
use maplock_layout::conversion::{Choice, Problems, Question};

use super::Pending;
use crate::args::{AcceptArgs, Cli, Project, Verb};
use crate::asked::Asked;
use crate::called;
use crate::error::Error;
use crate::terminal::{self, BOLD, DIM};
use crate::verbs::accept;

/// The option of a command that a person's reason belongs to.
const REASON: &str = "--reason";

/// What became of something that was asked.
enum Told<T> {
    This(T),
    /// It was not answered: another answer, or the next map.
    Back,
    /// Nobody answers any more.
    Quit,
}

/// Asks about each map.
pub(super) fn walk(pending: &[Pending<'_>], project: &Project) -> Result<(), Error> {
    for (at, one) in pending.iter().enumerate() {
        say(&format!("\n{BOLD}{} of {}: {}{BOLD:#}\n\n{}\n\n", at + 1, pending.len(), one.map, one.told.trim_end()))?;
        if one.asks.is_empty() {
            say("no answer settles it: see above why\n\n")?;
        }
        // Of what no answer settles, there is nothing to choose but to go on.
        let none = [Vec::new()];
        for answers in if one.asks.is_empty() { &none } else { one.asks.as_slice() } {
            match settle(one, answers, project)? {
                Told::This(()) => {}
                Told::Back => break,
                Told::Quit => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Asks until one of the answers is taken, or none is wanted.
fn settle(one: &Pending<'_>, answers: &[Command], project: &Project) -> Result<Told<()>, Error> {
    loop {
        for (number, command) in answers.iter().enumerate() {
            say(&format!("  {BOLD}{}{BOLD:#}  {:<21} {DIM}{}{DIM:#}\n", number + 1, command.purpose, command.line))?;
        }
        say(&format!("  {BOLD}s{BOLD:#}  skip\n  {BOLD}q{BOLD:#}  quit\n"))?;
        let chosen = loop {
            match ask("> ")?.as_deref() {
                None | Some("q") => return Ok(Told::Quit),
                Some("s") => return Ok(Told::Back),
                Some(word) => {
                    if let Some(chosen) = numbered(word, answers) {
                        break chosen;
                    }
                    say(&format!("type {}\n", keys(answers.len(), &["s", "q"])))?;
                }
            }
        };
        let Some(words) = words(one, chosen) else {
            say("this can't be answered here: run the command\n")?;
            continue;
        };
        let words = match reasoned(words)? {
            Told::This(words) => words,
            Told::Back => continue,
            Told::Quit => return Ok(Told::Quit),
        };
        match answer(one, words, project)? {
            Told::Back => {}
            told => return Ok(told),
        }
    }
}

/// The words of a command, behind the program, without those that select the lock: it is known.
fn words(one: &Pending<'_>, command: &Command) -> Option<Vec<String>> {
    let line = command.line.strip_prefix("cargo maplock ")?.strip_suffix(&one.target.selection)?;
    shlex::split(line)
}

/// The words with a reason, if they have a place for one.
fn reasoned(mut words: Vec<String>) -> Result<Told<Vec<String>>, Error> {
    let Some(at) = words.iter().position(|word| word == REASON) else { return Ok(Told::This(words)) };
    let Some(reason) = ask("reason: ")? else { return Ok(Told::Quit) };
    if reason.is_empty() {
        say("an answer needs a reason, for those who review and run it\n\n")?;
        return Ok(Told::Back);
    }
    // In one word: a reason may begin with a dash.
    words.splice(at..(at + 2).min(words.len()), [format!("{REASON}={reason}")]);
    Ok(Told::This(words))
}

/// Gives an answer; what it still asks is asked here.
fn answer(one: &Pending<'_>, words: Vec<String>, project: &Project) -> Result<Told<()>, Error> {
    let mut more: Vec<String> = Vec::new();
    loop {
        let args = parsed(&words, &more)?;
        let error = match accept::into(one.target, &args, project) {
            Ok(outcome) => {
                say(&format!("\n{}", args.message_format.tell(&[outcome][..])?))?;
                return Ok(Told::This(()));
            }
            Err(error) => error,
        };
        let Some(Problems { questions, mistakes, .. }) = asked(&error) else {
            terminal::error(&error);
            return Ok(Told::Back);
        };
        if !mistakes.is_empty() {
            mistakes.iter().try_for_each(|mistake| say(&format!("{}: {}\n", mistake.answer, mistake.what)))?;
            more.clear();
            continue;
        }
        match questions.first().map_or(Ok(Told::Back), |first| question(first, &words, &more))? {
            Told::This(all) => more = all,
            Told::Back => return Ok(Told::Back),
            Told::Quit => return Ok(Told::Quit),
        }
    }
}

/// Asks a question, and adds the answer to those that were given.
fn question(question: &Question, words: &[String], given: &[String]) -> Result<Told<Vec<String>>, Error> {
    say(&format!("\n{}\n", question.what))?;
    // Starting empty is an answer of its own, which stands among the others.
    let choices: Vec<_> = question.choices.iter().filter(|choice| **choice != Choice::Swap).collect();
    let (open, whole): (Vec<_>, Vec<_>) = choices.into_iter().partition(|choice| matches!(choice, Choice::Open(..)));
    let Some(example) = open.first().or(whole.first()) else { return Ok(Told::Back) };
    for (number, choice) in whole.iter().enumerate() {
        say(&format!("  {BOLD}{}{BOLD:#}  {choice}\n", number + 1))?;
    }
    say(&format!("  {BOLD}b{BOLD:#}  back\nor type an option, such as {example}\n"))?;
    loop {
        let typed = match ask("answer: ")?.as_deref() {
            None | Some("q") => return Ok(Told::Quit),
            Some("b") => return Ok(Told::Back),
            Some(word) => numbered(word, &whole).map_or_else(|| word.to_owned(), ToString::to_string),
        };
        let Some(typed) = shlex::split(&typed).filter(|words| !words.is_empty()) else {
            say(&format!("type {}\n", keys(whole.len(), &["b", "an option"])))?;
            continue;
        };
        // Code in the daemon answers everything.
        let mut all = if typed == [BY_HAND] { Vec::new() } else { given.to_vec() };
        all.extend(typed);
        match parsed(words, &all) {
            Ok(_) => return Ok(Told::This(all)),
            Err(error) => say(&format!("{}\n", error.cause().unwrap_or_default()))?,
        }
    }
}

const BY_HAND: &str = "--by-hand";

/// The arguments of `accept` that words say.
fn parsed(words: &[String], more: &[String]) -> Result<AcceptArgs, Error> {
    let failed = || Error::new("this is no command line of `cargo maplock accept`");
    let line = std::iter::once(called::name()).chain(words.iter().chain(more).map(String::as_str));
    match Cli::try_parse_from(line).map_err(|error| failed().because(first_line(&error.to_string())))?.verb {
        Verb::Accept(args) => Ok(*args),
        _ => Err(failed()),
    }
}

/// What clap says is wrong, without the usage of a command that nobody typed.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// What an answer still asks, if that is why it was not taken.
fn asked(error: &Error) -> Option<&Problems> {
    std::error::Error::source(error)?.downcast_ref::<Asked>().map(|Asked(problems)| problems)
}

/// The one of a list that a number means.
fn numbered<'a, T>(word: &str, all: &'a [T]) -> Option<&'a T> {
    all.get(word.parse::<usize>().ok()?.checked_sub(1)?)
}

/// What can be typed: `1, 2, s or q`.
fn keys(numbers: usize, others: &[&str]) -> String {
    let mut keys: Vec<_> =
        (1..=numbers).map(|number| number.to_string()).chain(others.iter().map(ToString::to_string)).collect();
    let last = keys.pop().unwrap_or_default();
    format!("{} or {last}", keys.join(", "))
}

fn say(text: &str) -> Result<(), Error> {
    terminal::result(&called::named(text)).map_err(|error| Error::new("could not write to stdout").because(error))
}

/// A line that is typed; `None` if nobody types any more.
fn ask(prompt: &str) -> Result<Option<String>, Error> {
    let failed = |error| Error::new("could not ask").because(error);
    let mut out = io::stdout();
    out.write_all(prompt.as_bytes()).and_then(|()| out.flush()).map_err(failed)?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}
