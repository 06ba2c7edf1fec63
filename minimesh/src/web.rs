//! What the daemon answers over HTTP: `/metrics` for Prometheus, and `/healthz`.
//!
//! Whoever can reach the port may send anything, and the daemon goes on: a request has `TIME` and `HEAD` bytes, an answer has `TIME`,
//! and nothing is kept for what comes behind the head. Each connection has one answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use maplock::Report;

use crate::ready;

/// How long a client may take to ask, and how long to take the answer.
const TIME: Duration = Duration::from_secs(2);

/// Bytes that the head of a request may have.
const HEAD: usize = 8 << 10;

/// Clients that are answered at once.
const THREADS: usize = 4;

/// The server. It answers from its start on, and is healthy once the upgrade is done.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    report: Arc<OnceLock<Report>>,
}

/// Status, type of the content, content.
type Answer = (&'static str, &'static str, String);

const TEXT: &str = "text/plain; charset=utf-8";

/// Prometheus, exposition formats: text-based format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Web {
    /// Listens on an address, such as `127.0.0.1:9464`, and answers in threads of its own.
    ///
    /// # Errors
    /// Where nobody can listen there.
    pub fn listen(at: &str, pins: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("could not listen on {at}: {error}");
        let listener = TcpListener::bind(at).map_err(failed)?;
        let (address, report) = (listener.local_addr().map_err(failed)?, Arc::new(OnceLock::new()));
        for _ in 0..THREADS {
            let listener = listener.try_clone().map_err(failed)?;
            let (pins, shared): (PathBuf, _) = (pins.to_owned(), Arc::clone(&report));
            thread::spawn(move || {
                for client in listener.incoming() {
                    match client {
                        // A client that has gone, or is too slow, needs no answer.
                        Ok(client) => _ = serve(client, |method, target| answer(method, target, &pins, shared.get())),
                        // Such as too many open files, which lasts.
                        Err(_) => thread::sleep(Duration::from_millis(100)),
                    }
                }
            });
        }
        Ok(Self { address, report })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on the daemon serves: this is what its upgrade did.
    pub fn serves(&self, report: Report) {
        // An upgrade is done once.
        _ = self.report.set(report);
    }
}

fn answer(method: &str, target: &str, pins: &Path, report: Option<&Report>) -> Answer {
    if !matches!(method, "GET" | "HEAD") {
        return ("405 Method Not Allowed", TEXT, "only GET and HEAD\n".to_owned());
    }
    match target.split('?').next() {
        Some("/metrics") => match maplock::metrics(pins) {
            Ok(pinned) => ("200 OK", METRICS, pinned + &report.map(Report::to_prometheus).unwrap_or_default()),
            Err(error) => ("500 Internal Server Error", TEXT, format!("{error}\n")),
        },
        Some("/healthz") => match report.ok_or_else(|| ready::NOT_YET.to_owned()).and_then(|_| ready::serving(pins)) {
            Ok(generation) => ("200 OK", TEXT, format!("generation {generation} serves\n")),
            Err(why) => ("503 Service Unavailable", TEXT, format!("{why}\n")),
        },
        _ => ("404 Not Found", TEXT, "there are /metrics and /healthz\n".to_owned()),
    }
}

/// A connection until a moment. A timeout of the socket alone begins anew with each byte.
struct Until {
    client: TcpStream,
    end: Instant,
}

impl Until {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Until {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.client.set_read_timeout(self.left()?)?;
        self.client.read(buffer)
    }
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.client.set_write_timeout(self.left()?)?;
        self.client.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn serve(client: TcpStream, answer: impl Fn(&str, &str) -> Answer) -> io::Result<()> {
    let mut client = Until { client, end: Instant::now() + TIME };
    let head = head(&mut client)?;
    // RFC 9112, section 3: method, target and version, with a space between them.
    let line = head.as_ref().map(|head| head.lines().next().unwrap_or_default().split(' ').collect::<Vec<_>>());
    let (method, answer) = match line.as_deref() {
        Some([method, target, version]) if version.starts_with("HTTP/1.") => (*method, answer(method, target)),
        Some(_) => ("", ("400 Bad Request", TEXT, "this is no request of HTTP/1.1\n".to_owned())),
        None => ("", ("431 Request Header Fields Too Large", TEXT, format!("a head has at most {HEAD} bytes\n"))),
    };
    client.end = Instant::now() + TIME;
    respond(&mut client, method, &answer)?;
    // The kernel takes an answer back that was not read yet, if it is closed on bytes that came behind the head.
    client.client.shutdown(std::net::Shutdown::Write)?;
    io::copy(&mut client, &mut io::sink()).map(drop)
}

/// The head of a request; `None` of one that is too long.
fn head(client: &mut impl Read) -> io::Result<Option<String>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while head.len() <= HEAD {
        let read = match client.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..read]);
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
    }
    Ok(None)
}

fn respond(client: &mut impl Write, method: &str, (status, content, text): &Answer) -> io::Result<()> {
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    if method == "HEAD" { Ok(()) } else { client.write_all(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Far longer than any client is waited for.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn listen() -> Web {
        Web::listen("127.0.0.1:0", Path::new("/nothing/is/pinned/here")).unwrap()
    }

    fn connect(web: &Web) -> TcpStream {
        let client = TcpStream::connect(web.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn ask(web: &Web, request: &[u8]) -> String {
        let mut client = connect(web);
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    fn answers(web: &Web) {
        let answer = ask(web, b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.ends_with("\r\nConnection: close\r\n\r\nthe daemon has not committed yet\n"), "{answer}");
    }

    #[test]
    fn what_can_be_asked_is_answered_and_the_rest_is_told_so() {
        let web = listen();
        answers(&web);
        let long = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(3 * HEAD));
        for (request, status) in [
            ("GET /healthz?verbose HTTP/1.0\r\n\r\n", "503"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "405"),
            ("GET /metrics\r\n\r\n", "400"),
            ("\u{16}\u{3}\u{1}\r\n\r\n", "400"),
            (&long, "431"),
        ] {
            let answer = ask(&web, request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{answer}");
        }
        let answer = ask(&web, b"HEAD /healthz HTTP/1.1\r\n\r\n");
        assert!(answer.contains("Content-Length: 33\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn a_body_is_neither_kept_nor_waited_for() {
        let web = listen();
        for length in ["1000000000000000", "18446744073709551615", "5"] {
            let answer = ask(&web, format!("POST /healthz HTTP/1.1\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        }
        answers(&web);
    }

    #[test]
    fn clients_that_ask_nothing_keep_nobody_for_long() {
        let web = listen();
        let mut silent: Vec<_> = (0..3 * THREADS).map(|_| connect(&web)).collect();
        answers(&web);
        for client in &mut silent {
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is closed");
        }
    }

    #[test]
    fn a_byte_now_and_then_is_no_reason_to_wait() {
        let web = listen();
        let (mut client, began) = (connect(&web), Instant::now());
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // Until it is closed; a read that times out is the pause between two bytes.
        while !matches!(client.read(&mut [0]), Ok(0)) && client.write_all(b"x").is_ok() {
            assert!(began.elapsed() < PATIENCE, "it is still waited for");
        }
    }

    #[test]
    fn of_requests_behind_each_other_the_first_is_answered() {
        let web = listen();
        let answer = ask(&web, "GET /healthz HTTP/1.1\r\n\r\n".repeat(1000).as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        answers(&web);
    }

    #[test]
    fn an_answer_that_nobody_takes_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        // More than sockets hold.
        let answer = |_: &str, _: &str| ("200 OK", METRICS, "x".repeat(64 << 20));
        let error = serve(listener.accept().unwrap().0, answer).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
    }
}
