//! What was told as JSON, held against the schemas by python's jsonschema.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::{Ran, Sandbox};

/// What runs the tool.
pub(crate) trait Runs {
    fn told(&self, line: &str) -> Ran;
}

impl Runs for Sandbox {
    fn told(&self, line: &str) -> Ran {
        self.run(line)
    }
}

#[cfg(target_os = "linux")]
impl Runs for super::node::Node {
    fn told(&self, line: &str) -> Ran {
        self.run(line)
    }
}

/// What was told, each with the schema that it should fit and the command.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Vec<(&'static str, String, Value)>);

impl Told {
    /// Runs a command, and keeps what it tells.
    pub(crate) fn of(&mut self, on: &impl Runs, schema: &'static str, line: &str) -> Value {
        let ran = on.told(&format!("{line} --message-format json"));
        let mut documents: Vec<_> = ran.stdout.lines().filter(|_| schema == "watch").map(str::to_owned).collect();
        if schema != "watch" {
            documents.push(ran.stdout.clone());
        }
        let documents = documents.iter().map(|text| {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}: {text}{}", ran.stderr))
        });
        self.0.extend(documents.map(|document: Value| (schema, line.to_owned(), document)));
        self.0.last().map(|(_, _, document)| document.clone()).unwrap_or_default()
    }

    /// All that do not fit.
    pub(crate) fn misfits(&self, on: &impl Runs, sandbox: &Sandbox) -> String {
        let mut schemas = serde_json::Map::new();
        for (of, _, _) in &self.0 {
            if !schemas.contains_key(*of) {
                let schema = on.told(&format!("schema {of}"));
                assert_eq!(schema.code, Some(0), "{}", schema.stderr);
                schemas.insert((*of).to_owned(), schema.json());
            }
        }
        sandbox.write("told.json", json!({ "schemas": schemas, "told": self.0 }).to_string());
        let script = "import json, jsonschema\nall = json.load(open('told.json'))\n\
                      for schema in all['schemas'].values(): jsonschema.Draft7Validator.check_schema(schema)\n\
                      of_schema = {of: jsonschema.Draft7Validator(schema) for of, schema in all['schemas'].items()}\n\
                      for of, line, told in all['told']:\n  \
                      for error in of_schema[of].iter_errors(told):\n    \
                      deepest = min(error.context, key=lambda e: -len(e.absolute_path), default=error)\n    \
                      print(of, '|', line, '|', list(deepest.absolute_path), deepest.message[:300])";
        let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
            Command::new(python).args(["-c", "import jsonschema"]).output().is_ok_and(|output| output.status.success())
        });
        let mut command = Command::new(python.expect("python3-jsonschema is installed"));
        let output = command.args(["-W", "ignore", "-c", script]).current_dir(sandbox.path("")).output();
        let output = output.expect("it runs");
        let mut told = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            _ = writeln!(told, "{}", String::from_utf8_lossy(&output.stderr));
        }
        told
    }

    /// Changes each document that is an object, and expects that none fits any more.
    pub(crate) fn spoiled(&self, on: &impl Runs, sandbox: &Sandbox, change: &dyn Fn(&mut Value)) {
        let mut all = Self(self.0.clone());
        all.0.retain(|(_, _, document)| document.is_object());
        let count = all.0.len();
        all.0.iter_mut().for_each(|(_, _, document)| change(document));
        let misfits = all.misfits(on, sandbox);
        assert!(misfits.lines().count() >= count, "{misfits}");
    }
}
