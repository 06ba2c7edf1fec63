//! Debian's Chromium without a window, spoken to over its debugging protocol: <https://chromedevtools.github.io/devtools-protocol/>.
//! Messages go over a pipe, so that no port is opened and nothing but this process can reach it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    next: u64,
    session: Option<String>,
    /// What happened, and was not asked for.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// `None` where none is installed: the test is skipped, unless `MAPLOCK_REQUIRE_KERNEL` is 1.
    pub(crate) fn start() -> Option<Self> {
        let is_there = |name: &&str| Command::new(name).arg("--version").stderr(Stdio::null()).output().is_ok();
        let Some(program) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there) else {
            assert!(std::env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "needs chromium");
            eprintln!("skipped: needs chromium (apt-get install chromium)");
            return None;
        };
        let profile = tempfile::Builder::new().prefix("maplock-browser-").tempdir().expect("a directory");
        // Its sandbox takes no root; nothing but pages of ours is opened.
        let options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking --remote-debugging-pipe";
        let line = format!("exec {program} {options} --user-data-dir=\"$1\" 3<&0 4>&1 </dev/null >/dev/null 2>&1");
        let mut command = Command::new("sh");
        command.args(["-c", &line, "sh"]).arg(profile.path()).env("TMPDIR", profile.path());
        // A group of its own, which ends as a whole.
        let mut child = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh runs");
        let to = child.stdin.take().expect("piped");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while out.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let Ok(message) = serde_json::from_slice(&std::mem::take(&mut message)) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self { child, to, from, next: 0, session: None, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// The result of a method.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("it reads");
        loop {
            let answer = self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Waits for an event of the protocol, which comes by itself.
    pub(crate) fn wait(&mut self, event: &str) {
        while !self.events.iter().any(|seen| seen["method"] == event) {
            self.events.push(self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{event}: {error}")));
        }
    }

    /// Opens a file, and waits until all of it is there and painted, before which clicks are of no account; what happened before is forgotten.
    pub(crate) fn open(&mut self, file: &Path, fragment: &str) {
        self.events.clear();
        // The same file with another fragment would not be opened anew.
        self.call("Page.navigate", &json!({ "url": "about:blank" }));
        self.wait("Page.loadEventFired");
        self.events.clear();
        let url = format!("file://{}{fragment}", file.display());
        self.call("Page.navigate", &json!({ "url": url }));
        self.wait("Page.loadEventFired");
        self.script("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
    }

    /// The size of the screen, in pixels as a page counts them.
    pub(crate) fn screen(&mut self, width: u32, height: u32, is_mobile: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Dark or light, as the reader's system has it.
    pub(crate) fn scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// What a script on the page comes to.
    pub(crate) fn script(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let told = self.call("Runtime.evaluate", &params);
        assert!(told.get("exceptionDetails").is_none(), "{script}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until a script on the page comes to true.
    pub(crate) fn until(&mut self, script: &str) {
        let frames = format!(
            "new Promise(done => {{ const look = () => ({script}) ? done(true) : requestAnimationFrame(look); look(); }})"
        );
        assert_eq!(self.script(&frames), true, "{script}");
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Clicks on the middle of an element, once it stands still.
    pub(crate) fn click(&mut self, selector: &str) {
        let script = format!(
            "new Promise(done => {{
              const e = document.querySelector({selector:?});
              e.scrollIntoView({{ block: 'center' }});
              let last;
              const look = () => {{
                const r = e.getBoundingClientRect(), at = [r.x + Math.min(r.width, 40) / 2, r.y + r.height / 2];
                if (last === String(at) && e.contains(document.elementFromPoint(...at))) return done(at);
                last = String(at);
                requestAnimationFrame(look);
              }};
              look();
            }})"
        );
        let at = self.script(&script);
        for what in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": what, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// What was asked of the outside since the page was opened, and what was complained about: `[addresses, complaints]`.
    pub(crate) fn seen(&self) -> [Vec<String>; 2] {
        let of = |method: &str, path: &str| -> Vec<String> {
            let events = self.events.iter().filter(|event| event["method"] == method);
            events.map(|event| event.pointer(path).unwrap_or(&event["params"]).to_string()).collect()
        };
        let mut complaints = of("Log.entryAdded", "/params/entry/text");
        complaints.extend(of("Runtime.exceptionThrown", "/params/exceptionDetails"));
        [of("Network.requestWillBeSent", "/params/request/url"), complaints]
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        _ = self.child.wait();
    }
}
