//! What the daemon answers over HTTP: `/metrics` for Prometheus, and `/healthz`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use maplock::Report;
use tiny_http::{Header, Method, Request, Response, Server};

use crate::ready;

/// The server. It answers from its start on, and is healthy once the upgrade is done.
#[derive(Debug)]
pub struct Web {
    address: String,
    report: Arc<OnceLock<Report>>,
}

/// Status, type of the content, content.
type Answer = (u16, &'static str, String);

const TEXT: &str = "text/plain; charset=utf-8";

/// Prometheus, exposition formats: text-based format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Web {
    /// Listens on an address, such as `127.0.0.1:9464`, and answers in a thread of its own.
    ///
    /// # Errors
    /// Where nobody can listen there.
    pub fn listen(at: &str, pins: &Path) -> Result<Self, String> {
        let server = Server::http(at).map_err(|error| format!("could not listen on {at}: {error}"))?;
        let (address, report) = (server.server_addr().to_string(), Arc::new(OnceLock::new()));
        let (pins, shared): (PathBuf, _) = (pins.to_owned(), Arc::clone(&report));
        thread::spawn(move || {
            for request in server.incoming_requests() {
                let answer = answer(&request, &pins, shared.get());
                // A client that has gone needs no answer.
                _ = respond(request, answer);
            }
        });
        Ok(Self { address, report })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on the daemon serves: this is what its upgrade did.
    pub fn serves(&self, report: Report) {
        // An upgrade is done once.
        _ = self.report.set(report);
    }
}

fn answer(request: &Request, pins: &Path, report: Option<&Report>) -> Answer {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return (405, TEXT, "only GET\n".to_owned());
    }
    match request.url().split('?').next() {
        Some("/metrics") => match maplock::metrics(pins) {
            Ok(pinned) => (200, METRICS, pinned + &report.map(Report::to_prometheus).unwrap_or_default()),
            Err(error) => (500, TEXT, format!("{error}\n")),
        },
        Some("/healthz") => match report.ok_or_else(|| ready::NOT_YET.to_owned()).and_then(|_| ready::serving(pins)) {
            Ok(generation) => (200, TEXT, format!("generation {generation} serves\n")),
            Err(why) => (503, TEXT, format!("{why}\n")),
        },
        _ => (404, TEXT, "there are /metrics and /healthz\n".to_owned()),
    }
}

fn respond(request: Request, (status, content, text): Answer) -> std::io::Result<()> {
    let mut response = Response::from_string(text).with_status_code(status);
    if let Ok(header) = Header::from_bytes("Content-Type", content) {
        response.add_header(header);
    }
    request.respond(response)
}
