//! The terminal: stdout for results, stderr for progress and errors. Texts are styled; if colours are not wanted,
//! the styles are taken out here.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};

use crate::args::{Printing, When};
use crate::called;
use crate::error::Error;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::BrightRed.on_default().bold();
pub(crate) const CAUTION: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::BrightCyan.on_default().bold();

/// Whether only what fails is told.
static QUIET: AtomicBool = AtomicBool::new(false);

pub(crate) fn choose(printing: Printing) {
    QUIET.store(printing.quiet, Ordering::Relaxed);
    match printing.color {
        // The environment may have its say: NO_COLOR, CLICOLOR_FORCE.
        When::Auto => {}
        When::Always => ColorChoice::Always.write_global(),
        When::Never => ColorChoice::Never.write_global(),
    }
}

/// Writes to stdout. A reader who closes the pipe has seen enough: no error.
pub(crate) fn result(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// The text with control characters escaped, but for the ends of lines, tabs and styles. Who may pin maps chooses names of pins, and what
/// is a command to a terminal may be a part of one.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_command = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_command) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let command = style(from).unwrap_or_else(|| &from[..from.chars().next().map_or(0, char::len_utf8)]);
        match command.len() {
            1 | 2 => out.extend(command.escape_default()),
            _ => out.push_str(command),
        }
        rest = &from[command.len()..];
    }
    if out.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(out + rest) }
}

/// The style that a text begins with, as `anstyle` writes it: `ESC [ numbers m`.
pub(crate) fn style(text: &str) -> Option<&str> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers[end..].starts_with('m').then(|| &text[..2 + end + 1])
}

pub(crate) fn error(error: &Error) {
    stderr(&called::named(&block(error)));
}

/// What else is true, below an error.
pub(crate) fn note(text: &str) {
    stderr(&format!("{BOLD}note{BOLD:#}: {text}\n"));
}

/// An error with its cause and help, as text.
pub(crate) fn block(error: &Error) -> String {
    format!("{BAD}error{BAD:#}{BOLD}: {}{BOLD:#}\n{}", error.what, why(error))
}

/// The cause of an error and its help, as text.
pub(crate) fn why(error: &Error) -> String {
    let mut text = String::new();
    let cause = error.cause();
    for (label, style, texts) in [("cause", BOLD, cause.as_slice()), ("help", HELP, &error.help[..])] {
        for (index, line) in texts.iter().flat_map(|text| text.lines()).enumerate() {
            let label = if index == 0 { format!("{style}{label:>5}{style:#}:") } else { " ".repeat(6) };
            text.push_str(format!("  {label} {line}").trim_end());
            text.push('\n');
        }
    }
    text
}

/// Whether only what fails is told.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether somebody waits who wants to see how far it is. A machine that builds has a terminal now and then, and nobody at it.
pub(crate) fn is_watched() -> bool {
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !["", "0", "false"].iter().any(|unset| ci == *unset));
    !is_quiet() && !is_ci && io::stderr().is_terminal()
}

/// What cargo says while it waits, in a log too.
pub(crate) fn waits(line: &str) {
    if !is_quiet() {
        stderr(&format!("{line}\n"));
    }
}

fn stderr(text: &str) {
    // Where stderr is closed, there is nobody left to tell.
    _ = anstream::stderr().write_all(harmless(text).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_styles_stay() {
        let styled = format!("{BOLD}stats{BOLD:#}\tof\nmaps");
        assert_eq!(harmless(&styled), styled);
        assert_eq!(harmless("a\u{1b}]0;title\u{7}b"), "a\\u{1b}]0;title\\u{7}b");
        assert_eq!(harmless("a\u{1b}[2Jb\r\u{9b}c"), "a\\u{1b}[2Jb\\r\\u{9b}c");
        assert_eq!(harmless("\u{1b}"), "\\u{1b}");
    }
}
