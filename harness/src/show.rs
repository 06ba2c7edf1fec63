//! What came of it, for people.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use maplock::layout::values::line;

use crate::compare::{Compared, Difference, How};
use crate::outcome::{Outcome, Phase, When};

/// Bytes of a log that are shown at the most.
const LOG: usize = 2000;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in self.phases.iter().filter(is_shown) {
            write!(f, "{phase}")?;
        }
        if let Some(kills) = self.kills() {
            writeln!(f, "{kills}")?;
        }
        if let Some((runs, ran)) = self.traffic {
            let often = if runs == 1 { "once".to_owned() } else { format!("{runs} times") };
            writeln!(
                f,
                "traffic: its command was started {often}, ran for {:.1} s, and never failed",
                ran.as_secs_f64()
            )?;
        }
        match &self.failure {
            None => f.write_str(&self.verdict()),
            Some(failure) => {
                write!(f, "failed: {}: {}", failure.phase, failure.what)?;
                match failure.log.as_deref().and_then(|log| std::fs::read_to_string(log).ok()) {
                    Some(said) if !said.trim().is_empty() => {
                        write!(f, "\nit said last:")?;
                        tail(&said).lines().try_for_each(|line| write!(f, "\n  {line}"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Of those with a kill, the ones in which something is to be seen.
fn is_shown(phase: &&Phase) -> bool {
    let is_told_in_short = phase.killed.is_some() || phase.is_after_a_kill;
    !is_told_in_short || phase.maps.iter().any(Compared::fails)
}

impl Outcome {
    /// How often a release was killed, and how far it was: a line for each.
    #[must_use]
    pub fn kills(&self) -> Option<String> {
        let of = |is_old: bool| {
            let killed: Vec<_> =
                self.phases.iter().filter_map(|phase| phase.killed).filter(|killed| killed.is_old == is_old).collect();
            let parts = When::ALL.into_iter().map(|when| {
                let number = killed.iter().filter(|killed| killed.when == when).count();
                format!("{number} {}", when.words())
            });
            let often = match killed.len() {
                0 => return None,
                1 => "once".to_owned(),
                number => format!("{number} times"),
            };
            Some((often, parts.collect::<Vec<_>>().join(", ")))
        };
        let (often, parts) = of(false)?;
        let mut told = format!(
            "killed {often} (seed {}): {parts}; each time started again, compared with what was before, rolled back, and compared again",
            self.seed
        );
        if let Some((often, parts)) = of(true) {
            told.push_str(&format!(
                "\nthe old release, started after these roll-backs, killed {often}: {parts}; each time started again, and compared with what was before"
            ));
        }
        Some(told)
    }

    /// What is known at the end, if nothing failed.
    fn verdict(&self) -> String {
        let of = |wanted: &dyn Fn(&Compared) -> bool| -> BTreeSet<&str> {
            let maps = self.phases.iter().flat_map(|phase| &phase.maps).filter(|map| wanted(map));
            maps.map(|map| map.map.as_str()).collect()
        };
        let is_compared = |map: &Compared| !matches!(map.how, How::Not(_));
        let (compared, not) = (of(&is_compared), of(&|map| !is_compared(map)));
        let mut told = vec!["passed: no entry that was compared is lost, and the roll-back leads back".to_owned()];
        if !self.has_written {
            told.push(
                "no map was seen to change under traffic before the first upgrade, so perhaps no program wrote"
                    .to_owned(),
            );
        }
        for (what, maps) in [
            ("never compared", &not - &compared),
            ("in some phases, not compared", &not & &compared),
            ("uncertain, because entries may go by themselves", of(&|map| map.uncertain > 0)),
            ("excepted", of(&|map| map.is_excepted)),
        ] {
            if !maps.is_empty() {
                let maps: Vec<_> = maps.into_iter().map(|map| format!("`{map}`")).collect();
                told.push(format!("{what}: {}", maps.join(", ")));
            }
        }
        told.push("only the traffic's own command can tell what is counted while an upgrade runs".to_owned());
        told.join("; ")
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traffic = match (self.maps.is_empty(), self.has_traffic) {
            (true, _) => "",
            (false, true) => ", under traffic",
            (false, false) => ", traffic stands still",
        };
        let generation = self.generation.map_or_else(String::new, |number| format!("generation {number} "));
        writeln!(f, "{}{traffic}: {generation}after {}", self.what, short(self.took))?;
        if let Some(killed) = self.killed {
            writeln!(f, "  killed {}, {} after its start", killed.when.words(), short(killed.after))?;
        }
        let width = |text: &dyn Fn(&Compared) -> usize| self.maps.iter().map(text).max().unwrap_or(0);
        let name =
            |map: &Compared| map.was.as_ref().map_or_else(|| map.map.clone(), |was| format!("{was} -> {}", map.map));
        let (names, whats) = (width(&|map| name(map).len()), width(&|map| map.disposition.to_string().len()));
        for map in &self.maps {
            writeln!(f, "  {:names$}  {:whats$}  {}", name(map), map.disposition.to_string(), map.words())?;
            map.examples.iter().try_for_each(|example| map.show(example, f))?;
        }
        Ok(())
    }
}

impl Compared {
    /// What was found: a line.
    #[must_use]
    pub fn words(&self) -> String {
        let number = |number: Option<usize>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let (before, after) = (number(self.entries.0), number(self.entries.1));
        let how = match &self.how {
            How::Not(why) => return format!("{before} -> {after} entries, not compared: {why}"),
            How::Exactly => format!("{} exactly as expected", self.kept),
            How::UnderTraffic { counts, written } => {
                let list =
                    |paths: &[String]| paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
                let counts = match counts.as_slice() {
                    [] => String::new(),
                    paths => format!(", without a fall of {}", list(paths)),
                };
                let written = match written.as_slice() {
                    [] => String::new(),
                    paths => format!("; programs wrote {}, which was not compared", list(paths)),
                };
                format!("{} kept{counts}{written}", self.kept)
            }
        };
        let mut parts = vec![format!("{before} -> {after} entries: {how}")];
        for (count, what) in [
            (self.gone, "gone"),
            (self.changed, "with another value"),
            (self.fell, "with a count that fell"),
            (self.new, "new"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if let Some(why) = self.may_go.filter(|_| self.uncertain > 0) {
            parts.push(format!("{} uncertain: {why}", self.uncertain));
        }
        if self.is_excepted {
            parts.push("excepted".to_owned());
        }
        parts.join(", ")
    }

    fn show(&self, example: &Difference, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |values: &[Vec<u8>]| -> String {
            let of = |value: &Vec<u8>| line(self.def.value.as_deref(), "value", value);
            match values {
                [value] => of(value),
                all => all
                    .iter()
                    .enumerate()
                    .map(|(cpu, value)| format!("cpu {cpu}: {}", of(value)))
                    .collect::<Vec<_>>()
                    .join("; "),
            }
        };
        writeln!(f, "    {}", line(self.def.key.as_deref(), "key", &example.key))?;
        writeln!(f, "      expected  {}", value(&example.expected))?;
        match &example.found {
            Some(found) => writeln!(f, "      found     {}", value(found)),
            None => writeln!(f, "      found     nothing"),
        }
    }
}

/// The end of a log.
fn tail(text: &str) -> &str {
    let text = text.trim_end();
    let from = text.len().saturating_sub(LOG);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    match text[from..].find('\n') {
        Some(end) if from > 0 => &text[from + end + 1..],
        _ => &text[from..],
    }
}

fn short(time: Duration) -> String {
    match time.as_millis() {
        0 => "under 1 ms".to_owned(),
        ms @ 1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use maplock::layout::map::MapType;
    use maplock::layout::{Lock, MapDef};

    use super::*;
    use crate::compare::Side;
    use crate::expected::Expected;
    use crate::picture::{MapPicture, Picture};

    /// A phase after which of each map the entries could be read, or not.
    fn phase(maps: &[(&str, bool)]) -> Phase {
        let map = |&(name, is_read): &(&str, bool)| {
            let entries = if is_read { Ok([].into()) } else { Err("it holds events".to_owned()) };
            let def = MapDef::new(name, MapType::HASH);
            (name.to_owned(), MapPicture { id: 1, def, entries })
        };
        let picture = Picture { maps: maps.iter().map(map).collect(), ..Picture::default() };
        let lock = Lock::default();
        let maps = picture.compare(&Expected::same(&picture), Side { old: &lock, new: &lock }, |_| true);
        let (took, generation, killed, report) = (Duration::ZERO, None, None, None);
        Phase { what: "upgrade", has_traffic: false, generation, took, maps, is_after_a_kill: false, killed, report }
    }

    fn outcome(has_written: bool) -> Outcome {
        let phases = vec![
            phase(&[("always", true), ("once", true), ("events", false)]),
            phase(&[("always", true), ("once", false), ("events", false)]),
        ];
        Outcome { phases, failure: None, traffic: None, has_written, seed: 0, logs: "logs".into() }
    }

    #[test]
    fn a_map_that_was_compared_once_is_told_apart_from_one_that_never_was() {
        let told = outcome(true).verdict();
        assert!(told.contains("; never compared: `events`; in some phases, not compared: `once`; only "), "{told}");
    }

    #[test]
    fn traffic_that_was_not_seen_to_change_a_map_is_told() {
        let words = "; no map was seen to change under traffic before the first upgrade, so perhaps no program wrote; ";
        assert!(outcome(false).verdict().contains(words) && !outcome(true).verdict().contains(words));
    }
}
