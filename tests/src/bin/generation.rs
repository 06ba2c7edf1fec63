//! A start of the daemon of `maplock_tests::generations`, as a process that can be killed:
//! `generation DIR CGROUP TAG one|two|rollback|confirm|discard|by-calls [each-pin] [by-hand] [impatient] [traced] [keep=N]`.

use std::process::ExitCode;
use std::time::Duration;

use maplock::{Recovery, Report, WayOut};
use maplock_tests::generations::{Daemon, Release, roll_back};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().unwrap_or_default();
    let (dir, cgroup, tag, what) = (word().into(), word().into(), word(), word());
    let rest: Vec<String> = words.collect();
    let has = |word: &str| rest.iter().any(|given| given == word);
    let (each_pin, is_impatient) = (has("each-pin"), has("impatient"));
    let keep = rest.iter().find_map(|word| word.strip_prefix("keep=")?.parse().ok()).unwrap_or(1);
    let by_hand = has("by-hand");
    let daemon = Daemon { dir, cgroup, tag, each_pin, is_impatient, keeps_larger: false, by_hand, keep };
    #[cfg(target_arch = "x86_64")]
    if has("traced") {
        maplock_tests::trace::offer().expect("a parent that traces");
    }
    let result = match what.as_str() {
        "one" => daemon.start(Release::One),
        "two" => daemon.start(Release::Two),
        "rollback" => roll_back(&daemon.dir).map_err(Into::into),
        "confirm" => match maplock::confirm(&daemon.dir, Duration::ZERO) {
            Ok(_) => return ExitCode::SUCCESS,
            Err(error) => Err(error.into()),
        },
        "discard" => recover(&daemon, WayOut::Discard),
        "by-calls" => recover(&daemon, WayOut::ByCalls),
        other => Err(format!("`{other}` is nothing that a daemon does").into()),
    };
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// As `maplock recover` does, which has no code of a daemon. Says what came of it.
fn recover(daemon: &Daemon, way_out: WayOut) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
    let report = Recovery::new(&daemon.dir, way_out).run()?;
    eprintln!("taken back: {}, completed: {}\n{report}", report.taken_back, report.resumed);
    Ok(report)
}
