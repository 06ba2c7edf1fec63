//! Contestants side by side: by criterion, one after the other, and by turns.
//!
//! Criterion's figures say how long each takes. How many times longer one takes than the other is measured apart, with
//! CPU time and in turns, so that whatever else the machine does meets all of them alike.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use nix::time::{ClockId, clock_gettime};

/// Rounds in which everyone has a turn.
const ROUNDS: usize = 61;

/// What one turn should take at least, so that the clock's steps don't matter.
const TURN: Duration = Duration::from_millis(3);

/// One way to do what a group is about.
pub struct Contestant<'a> {
    name: &'a str,
    /// Does it once, and cleans up; the number is looked at by nobody, but has to be worked out.
    run: Box<dyn Fn() -> u64 + 'a>,
}

impl<'a> Contestant<'a> {
    /// A contestant. What `run` returns must depend on its work.
    pub fn new(name: &'a str, run: impl Fn() -> u64 + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// CPU time of this thread for `times` runs.
    fn time(&self, times: u32) -> Duration {
        let start = cpu_time();
        for _ in 0..times {
            black_box((self.run)());
        }
        cpu_time() - start
    }
}

/// Measures all contestants of a group; ratios are to the first.
pub fn compare(criterion: &mut Criterion, group_name: &str, contestants: &[Contestant<'_>]) {
    let has_run = Cell::new(false);
    let mut group = criterion.benchmark_group(group_name);
    for contestant in contestants {
        group.bench_function(contestant.name, |bencher| {
            has_run.set(true);
            bencher.iter(&contestant.run);
        });
    }
    group.finish();
    if has_run.get() && crate::is_measuring() {
        by_turns(group_name, contestants);
    }
}

fn by_turns(group_name: &str, contestants: &[Contestant<'_>]) {
    let times: Vec<u32> = contestants.iter().map(turns).collect();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let mut each = vec![0.0; contestants.len()];
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            each[at] = contestants[at].time(times[at]).as_secs_f64() / f64::from(times[at]);
        }
        rounds.push(each);
    }
    println!("\n| {group_name} | CPU time | times the first |\n|---|---:|---:|");
    for (at, contestant) in contestants.iter().enumerate() {
        let time = median(rounds.iter().map(|each| each[at]));
        let ratio = median(rounds.iter().map(|each| each[at] / each[0]));
        println!("| {} | {} | {ratio:.2} |", contestant.name, in_units(time));
    }
    println!();
}

/// How often to run in one turn.
fn turns(contestant: &Contestant<'_>) -> u32 {
    let mut times = 1;
    while contestant.time(times) < TURN && times < 1 << 20 {
        times *= 2;
    }
    times
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// The value in the middle.
///
/// # Panics
/// Where there is none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds, as people write them.
#[must_use]
pub fn in_units(seconds: f64) -> String {
    match seconds {
        s if s.abs() < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s.abs() < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
