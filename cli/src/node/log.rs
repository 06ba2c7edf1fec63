//! What the runtime traces, on stderr, in the style of this tool's own messages.

use std::fmt::{self, Write as _};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::progress;
use crate::terminal::{self, BOLD, CAUTION, DIM};

/// Warnings, and with `verbose` what is decided and done.
pub(super) fn to_stderr(verbose: u8) {
    let level = match verbose {
        0 if terminal::is_quiet() => Level::ERROR,
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(|| Stderr).event_format(Line);
    // Already set only where somebody calls `main` twice.
    _ = subscriber.try_init();
}

/// Where styles are taken out if nobody can see them.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::aside(|| io::Write::write(&mut anstream::stderr(), bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut anstream::stderr())
    }
}

/// `warning: what`, with the fields behind it.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        match *event.metadata().level() {
            Level::ERROR | Level::WARN => write!(out, "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} ")?,
            _ => write!(out, "{DIM}{:>7}{DIM:#} ", event.metadata().level().as_str().to_ascii_lowercase())?,
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, others } = fields;
        if others.is_empty() { writeln!(out, "{message}") } else { writeln!(out, "{message} ({others})") }
    }
}

/// What an event says: `message (name=value, ..)`.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        if field.name() == "message" {
            _ = write!(self.message, "{value:?}");
            return;
        }
        let gap = if self.others.is_empty() { "" } else { ", " };
        _ = write!(self.others, "{gap}{}={value:?}", field.name());
    }
}
