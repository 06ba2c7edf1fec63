//! A conversion as text, by which another process finishes what one has begun.
//!
//! A line for each leg, for the key and the value of a derived one, and for each step; steps of an array stand between
//! `repeat` and `end`. The last line is a hash of all before it, so that no damage makes it another conversion.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::check::MAX_DEPTH;
use super::{Bits, Cast, Collide, Conversion, DerivedLeg, Int, Leg, Scale, Step, Steps};
use crate::digest::Digest;

/// The version of the text that is written, and the newest that is read.
const VERSION: u32 = 1;

/// A text that is no conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong: a phrase.
    pub problem: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for TextError {}

impl Conversion {
    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("conversion {VERSION}\n");
        for leg in &self.legs {
            match leg {
                Leg::ByHand { from, to } => _ = writeln!(out, "by-hand {from} {to}"),
                Leg::Derived(leg) => {
                    let collide = leg.collide.map_or("none", Collide::name);
                    let keys = if leg.keeps_key { "whole" } else { "cut" };
                    _ = writeln!(out, "derived {collide} {keys}");
                    for (what, of) in [("key", &leg.key), ("value", &leg.value)] {
                        _ = writeln!(out, "{what} {} {}", of.from_size, of.to_size);
                        steps(&of.steps, &mut out);
                    }
                }
            }
        }
        let sum = sum(&out);
        _ = writeln!(out, "sum {sum}");
        out
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// If it is none, or a newer one, or damaged, or says what can't be done.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Lines { lines: text.lines().enumerate().peekable(), at: 1 };
        let head = lines.next().ok_or_else(|| lines.wrong("no text"))?;
        match head.strip_prefix("conversion ").and_then(|version| version.parse::<u32>().ok()) {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => {
                return Err(
                    lines.wrong(&format!("version {newer}, which is newer than this maplock, which knows {VERSION}"))
                );
            }
            _ => return Err(lines.wrong(&format!("`{head}` begins no conversion"))),
        }
        let mut legs = Vec::new();
        loop {
            let line = lines.next().ok_or_else(|| lines.wrong("the text ends before its `sum`"))?;
            if let Some(given) = line.strip_prefix("sum ") {
                // All but this line, to the byte.
                let end = format!("sum {given}\n");
                let is_whole = text.strip_suffix(&end).is_some_and(|all| sum(all) == given);
                return if is_whole { Ok(Self { legs }) } else { Err(lines.wrong("the text is damaged")) };
            }
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["by-hand", from, to] => {
                    let digest =
                        |text: &str| Digest::parse(text).ok_or_else(|| lines.wrong(&format!("`{text}` is no digest")));
                    legs.push(Leg::ByHand { from: digest(from)?, to: digest(to)? });
                }
                ["derived", collide, keys @ ("whole" | "cut")] => {
                    let collide = match *collide {
                        "none" => None,
                        name => Some(Collide::from_name(name).ok_or_else(|| lines.no_line(line))?),
                    };
                    let (key, value) = (lines.part("key")?, lines.part("value")?);
                    let keeps_key = *keys == "whole";
                    legs.push(Leg::Derived(DerivedLeg { key, value, collide, keeps_key }));
                }
                _ => return Err(lines.no_line(line)),
            }
        }
    }
}

/// The first 64 bits of a SHA-256, in hexadecimal digits.
fn sum(text: &str) -> String {
    hmac_sha256::Hash::hash(text.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn steps(steps: &[Step], out: &mut String) {
    for step in steps {
        _ = match step {
            Step::Copy { from, to, len } => writeln!(out, "copy {from} {to} {len}"),
            Step::Set { to, bytes } => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(out, "set {to} {hex}")
            }
            Step::Int(int) => {
                let bits =
                    |bits: Bits| format!("{}:{}:{}", bits.offset, bits.width, if bits.signed { 'i' } else { 'u' });
                let cast = int.cast.map_or("none", Cast::name);
                let scale =
                    int.scale.map_or_else(|| "none".to_owned(), |scale| format!("{}/{}", scale.multiply, scale.divide));
                let numbers: Vec<_> = int.numbers.iter().map(|(old, new)| format!("{old}={new}")).collect();
                writeln!(out, "int {} {} {cast} {scale} {}", bits(int.from), bits(int.to), numbers.join(","))
            }
            Step::Repeat { from, from_stride, to, to_stride, count, steps: inner } => {
                _ = writeln!(out, "repeat {from} {from_stride} {to} {to_stride} {count}");
                self::steps(inner, out);
                writeln!(out, "end")
            }
        };
    }
}

struct Lines<'t> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'t>>>,
    at: usize,
}

impl<'t> Lines<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let (index, line) = self.lines.next()?;
        self.at = index + 1;
        Some(line)
    }

    fn wrong(&self, problem: &str) -> TextError {
        TextError { line: self.at, problem: problem.to_owned() }
    }

    fn no_line(&self, line: &str) -> TextError {
        self.wrong(&format!("`{line}` is no line of a conversion"))
    }

    fn number<T: FromStr>(&self, text: &str) -> Result<T, TextError> {
        text.parse().map_err(|_| self.wrong(&format!("`{text}` is no such number")))
    }

    /// `key 8 12` or `value 16 24`, and the steps behind it.
    fn part(&mut self, what: &str) -> Result<Steps, TextError> {
        let line = self.next().ok_or_else(|| self.wrong(&format!("no `{what}`")))?;
        let words: Vec<_> = line.split(' ').collect();
        let [name, from_size, to_size] = words.as_slice() else { return Err(self.no_line(line)) };
        if *name != what {
            return Err(self.no_line(line));
        }
        let (from_size, to_size) = (self.number(from_size)?, self.number(to_size)?);
        let steps = Steps { from_size, to_size, steps: self.steps(0)? };
        steps.check().map_err(|error| self.wrong(&error.to_string()))?;
        Ok(steps)
    }

    fn steps(&mut self, depth: usize) -> Result<Vec<Step>, TextError> {
        let mut steps = Vec::new();
        while let Some((_, line)) = self.lines.peek().copied() {
            let words: Vec<_> = line.split(' ').collect();
            if !matches!(words[0], "copy" | "set" | "int" | "repeat") {
                break;
            }
            self.next();
            steps.push(match words.as_slice() {
                ["copy", from, to, len] => {
                    Step::Copy { from: self.number(from)?, to: self.number(to)?, len: self.number(len)? }
                }
                ["set", to, hex] => Step::Set { to: self.number(to)?, bytes: self.hex(hex)? },
                ["int", from, to, cast, scale, numbers] => {
                    let cast = match *cast {
                        "none" => None,
                        name => Some(Cast::from_name(name).ok_or_else(|| self.no_line(line))?),
                    };
                    let scale = match *scale {
                        "none" => None,
                        text => Some(Scale::parse(text).ok_or_else(|| self.no_line(line))?),
                    };
                    let numbers = numbers.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
                        let (old, new) = pair.split_once('=').ok_or_else(|| self.no_line(line))?;
                        Ok((self.number(old)?, self.number(new)?))
                    });
                    let numbers = numbers.collect::<Result<_, _>>()?;
                    Step::Int(Int { from: self.bits(from)?, to: self.bits(to)?, cast, scale, numbers })
                }
                ["repeat", from, from_stride, to, to_stride, count] => {
                    if depth == MAX_DEPTH {
                        return Err(self.wrong("arrays are nested too deep"));
                    }
                    let (from, from_stride) = (self.number(from)?, self.number(from_stride)?);
                    let (to, to_stride, count) = (self.number(to)?, self.number(to_stride)?, self.number(count)?);
                    let steps = self.steps(depth + 1)?;
                    if self.next() != Some("end") {
                        return Err(self.wrong("an array without its `end`"));
                    }
                    Step::Repeat { from, from_stride, to, to_stride, count, steps }
                }
                _ => return Err(self.no_line(line)),
            });
        }
        Ok(steps)
    }

    fn bits(&self, text: &str) -> Result<Bits, TextError> {
        let words: Vec<_> = text.split(':').collect();
        match words.as_slice() {
            [offset, width, sign @ ("i" | "u")] => {
                Ok(Bits { offset: self.number(offset)?, width: self.number(width)?, signed: *sign == "i" })
            }
            _ => Err(self.wrong(&format!("`{text}` is no place of a number"))),
        }
    }

    fn hex(&self, text: &str) -> Result<Vec<u8>, TextError> {
        let wrong = || self.wrong(&format!("`{text}` are no bytes"));
        if !text.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(wrong());
        }
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong());
        (0..text.len()).step_by(2).map(byte).collect()
    }
}
