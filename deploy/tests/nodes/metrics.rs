//! `/metrics`, `/healthz` and the log of a daemon; the alerts and the dashboard that read the metrics.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use maplock::Options;
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::toolchain::root;
use minimesh::release::Release;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::Deserialize as _;
use serde_json::Value;

use crate::{maplock, minimesh, said};

/// A daemon that logs in JSON, and listens.
struct Daemon {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Daemon {
    fn start(release: &str, pins: &Path, cgroup: &Cgroup) -> Self {
        let mut command = Command::new(minimesh());
        command.args(["daemon", "--log=json", "--listen=127.0.0.1:0", "--release", release]);
        command.arg("--pins").arg(pins).arg("--cgroup").arg(cgroup.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut daemon = Self { child, lines, address: String::new() };
        let first = daemon.until("listens on ").pop().unwrap();
        daemon.address = first["message"].as_str().unwrap().strip_prefix("listens on ").unwrap().to_owned();
        daemon
    }

    /// The lines up to one with that message.
    fn until(&mut self, message: &str) -> Vec<Value> {
        let mut read = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let is_last = line["message"].as_str().unwrap().contains(message);
            read.push(line);
            if is_last {
                return read;
            }
        }
        panic!("it ended without `{message}`: {read:?}");
    }

    fn get(&self, path: &str) -> (u16, String) {
        get(&self.address, path)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Status and body of an answer.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let (method, path) = path.split_once(' ').unwrap_or(("GET", path));
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_daemon_answers_how_it_is_and_what_is_pinned_and_logs_lines_of_json() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let pins = bpffs.path().join("minimesh");
    let dir = pins.display();
    // While somebody else upgrades there, it waits.
    let spec = Release::embedded("v1").unwrap().spec;
    let digest = |map: &str| spec.digest(map).unwrap();
    let other = Options::new(spec.clone(), &pins).begin().unwrap();
    let mut old = Daemon::start("v1", &pins, &cgroup);
    assert_eq!(old.get("/healthz"), (503, "the daemon has not committed yet\n".to_owned()));
    let (status, body) = old.get("/metrics");
    assert_eq!(
        (status, body.contains("maplock_generation{"), body.contains("maplock_upgrade_seconds")),
        (200, false, false)
    );
    drop(other);

    let log = old.until(" serves ");
    for line in &log {
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.split('T').count() == 2, "{line}");
        assert_eq!(line["level"], "INFO", "{line}");
    }
    let of = |message: &str, map: &str| {
        log.iter().find(|line| line["message"] == message && line["map"] == map).unwrap_or_else(|| panic!("{log:?}"))
    };
    assert_eq!(of("planned", "stats")["disposition"], "create");
    let became = of("what became of a map", "stats");
    assert_eq!((&became["exact"], &became["lost"]), (&true.into(), &0.into()));
    assert!(log.iter().any(|line| line["message"] == "committed" && line["generation"] == 1), "{log:?}");

    assert_eq!(old.get("/healthz"), (200, "generation 1 serves\n".to_owned()));
    let (_, body) = old.get("/metrics");
    let stats = digest("stats");
    for line in [
        format!("maplock_maps{{dir=\"{dir}\"}} 4"),
        format!("maplock_generation{{dir=\"{dir}\"}} 1"),
        format!("maplock_map_max_entries{{dir=\"{dir}\",map=\"stats\"}} 4096"),
        format!(
            "maplock_map_layout_info{{dir=\"{dir}\",map=\"stats\",type=\"hash\",layout_from=\"btf\",digest=\"{stats}\",locked_digest=\"{stats}\"}} 1"
        ),
        format!("maplock_kept_generations{{dir=\"{dir}\"}} 0"),
        "maplock_upgrade_kind_info{kind=\"upgrade\"} 1".to_owned(),
        "maplock_upgrade_generation 1".to_owned(),
        "maplock_upgrade_entries{map=\"stats\",disposition=\"create\",what=\"lost\"} 0".to_owned(),
    ] {
        assert!(body.lines().any(|is| is == line), "{line}\n{body}");
    }
    assert_eq!(old.get("/").0, 404);
    assert_eq!(old.get("POST /metrics").0, 405);

    // What is live is looked at each time, and what was done stays what it was.
    let mut new = Daemon::start("v2", &pins, &cgroup);
    new.until(" serves ");
    let output = Command::new(maplock()).arg("rollback").arg(&pins).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(new.get("/healthz"), (200, "generation 1 serves\n".to_owned()));
    let (_, body) = new.get("/metrics");
    assert!(body.contains("maplock_upgrade_generation 2\n"), "{body}");
    assert!(body.contains(&format!("maplock_generation{{dir=\"{dir}\"}} 1\n")), "{body}");
    // Its report is of maps that are not live any more, and is told so.
    let scraped = tempfile::Builder::new().suffix(".prom").tempfile().unwrap();
    fs::write(scraped.path(), &body).unwrap();
    let output = Command::new(maplock()).arg("fleet").arg(scraped.path()).output().unwrap();
    assert!(said(&output).contains("of generation 2, not 1: "), "{}", said(&output));
    fs::remove_file(pins.join("stats")).unwrap();
    let (_, body) = new.get("/metrics");
    assert!(body.contains(&format!("maplock_map_missing_info{{dir=\"{dir}\",map=\"stats\"}} 1\n")), "{body}");
    fs::remove_file(pins.join("connect4")).unwrap();
    assert_eq!(new.get("/healthz"), (503, format!("no link is pinned as {dir}/connect4\n")));

    // An address where nobody can listen is told before anything is done; so is what fails, as a line.
    let mut command = Command::new(minimesh());
    let nothing = bpffs.path().join("nothing");
    command.args(["daemon", "--log=json", "--listen", &new.address, "--cgroup"]).arg(cgroup.path());
    let output = command.arg("--pins").arg(&nothing).output().unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &line["level"]), (Some(1), &"ERROR".into()));
    assert!(line["message"].as_str().unwrap().starts_with(&format!("could not listen on {}: ", new.address)), "{line}");
    assert!(!nothing.exists());

    kill_process(Pid::from_child(&old.child), Signal::TERM).unwrap();
    assert!(old.child.wait().unwrap().success());
}

/// The words of a text that begin as our metrics do.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
    words.filter(|word| word.starts_with("maplock_")).map(str::to_owned).collect()
}

/// The queries of the dashboard's panels, and those of its variables.
fn queries(dashboard: &Value) -> (Vec<String>, Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap();
    let panels =
        panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| text(&target["expr"]));
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().map(|of| text(&of["query"]));
    (panels.collect(), variables.collect())
}

#[test]
fn alerts_and_the_dashboard_ask_for_what_is_served_and_leave_nothing_out() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let mut daemon = Daemon::start("v1", &bpffs.path().join("minimesh"), &cgroup);
    daemon.until(" serves ");
    let (_, body) = daemon.get("/metrics");
    let served = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<_> = served.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert!(served.len() > 15, "{body}");

    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(root().join("deploy/grafana.json")).unwrap()).unwrap();
    let alerts = fs::read_to_string(root().join("deploy/alerts.yaml")).unwrap();
    let alerts = serde_yaml_ng::Value::deserialize(serde_yaml_ng::Deserializer::from_str(&alerts)).unwrap();
    let rules = alerts["groups"][0]["rules"].as_sequence().unwrap();
    let alerts = rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let (panels, variables) = queries(&dashboard);
    let mut asked = BTreeSet::new();
    for query in panels.into_iter().chain(alerts) {
        let named = metrics(&query);
        assert!(!named.is_empty() && named.is_subset(&served), "{query}");
        asked.extend(named);
    }
    assert!(variables.iter().all(|query| metrics(query).is_subset(&served)), "{variables:?}");
    assert_eq!(asked, served, "each metric is shown or watched");
}
