//! A start of the daemon of `maplock_tests::generations`, as a process that can be killed:
//! `generation DIR CGROUP TAG one|two|rollback|confirm [each-pin] [by-hand] [impatient] [traced] [keep=N]`.

use std::process::ExitCode;
use std::time::Duration;

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
        other => Err(format!("`{other}` is neither `one` nor `two` nor `rollback` nor `confirm`").into()),
    };
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
