//! What the daemon says as it goes: to a person, or as lines of JSON with times.

use std::io;

use clap::ValueEnum;
use tracing::Level;

/// How it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// The plan and the report on stdout, warnings and errors on stderr
    #[default]
    Text,
    /// On stdout, a line of JSON with its time for each step and each map
    Json,
}

impl Log {
    /// From now on, what the runtime traces is told.
    pub fn begin(self) {
        let to = tracing_subscriber::fmt();
        // Already set only where somebody calls it twice.
        _ = match self {
            Self::Text => {
                let to = to.with_max_level(Level::WARN).without_time().with_target(false).with_ansi(false);
                to.with_writer(io::stderr).try_init()
            }
            Self::Json => to.json().flatten_event(true).with_span_list(false).with_max_level(Level::INFO).try_init(),
        };
    }

    /// Says what the runtime does not trace.
    pub fn say(self, what: &str) {
        match self {
            Self::Text => println!("{what}"),
            Self::Json => tracing::info!("{what}"),
        }
    }

    /// Says what the runtime traces piece by piece, to a person.
    pub fn show(self, what: impl std::fmt::Display) {
        if self == Self::Text {
            println!("{what}");
        }
    }

    /// Says why the program ends.
    pub fn fail(self, problem: &str) {
        match self {
            Self::Text => eprintln!("error: {problem}"),
            Self::Json => tracing::error!("{problem}"),
        }
    }
}
