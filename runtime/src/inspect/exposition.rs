//! Prometheus' text form (Prometheus, exposition formats: text-based format).

use std::fmt;

/// A family of gauges, as its samples are collected.
pub(crate) struct Family {
    text: String,
    name: &'static str,
}

impl Family {
    pub(crate) fn new(name: &'static str, help: &str) -> Self {
        Self { text: format!("# HELP {name} {help}\n# TYPE {name} gauge\n"), name }
    }

    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.text.push_str(&format!("{}{labels} {value}\n", self.name));
    }

    /// The text of several.
    pub(crate) fn texts<const N: usize>(families: [Self; N]) -> String {
        families.map(|family| family.text).concat()
    }
}

/// A label's value.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
