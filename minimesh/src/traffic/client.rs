//! A client that connects without pause and checks every answer. Programs at a cgroup's hooks see the processes in it only, so
//! the client is a process of its own: this program, started again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, fs, thread};

use serde::{Deserialize, Serialize};

/// How long a connection may take before it counts as failed. One that is refused fails at once; this is for one that hangs, and
/// so long that no busy machine is taken for that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections at a time.
const THREADS: usize = 2;

/// A virtual address, and the beginning of the names of those that may answer there: `10.96.0.10:80=cart-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What the client connects to.
    pub address: SocketAddrV4,
    /// How the name of each of its backends begins.
    pub prefix: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.address, self.prefix)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('=').ok_or_else(|| format!("`{text}` is not ADDRESS=PREFIX"))?;
        let address = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
        Ok(Self { address, prefix: prefix.to_owned() })
    }
}

/// What became of the connections so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Answered by a backend of the service that was asked for.
    pub right: u64,
    /// Answered by another.
    pub wrong: u64,
    /// Not answered.
    pub failed: u64,
    /// Why not, with how often.
    pub reasons: BTreeMap<String, u64>,
}

impl Counts {
    /// Those that a backend answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.right + self.wrong
    }
}

/// A client process.
#[derive(Debug)]
pub struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    /// Starts `program client TARGET ..`, moves it into the cgroup, and lets it begin. `program` is one whose `main` calls
    /// [`run`] then: minimesh, or a test.
    ///
    /// # Errors
    /// Where it can't be started, or the cgroup doesn't take it.
    pub fn start(program: impl AsRef<OsStr>, cgroup: &Path, targets: &[Target]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("client").args(targets.iter().map(ToString::to_string));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut client = Self { child, stdin: Some(stdin), stdout };
        fs::write(cgroup.join("cgroup.procs"), client.child.id().to_string())?;
        client.counts()?;
        Ok(client)
    }

    /// What it counted so far. The first question lets it begin.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn counts(&mut self) -> io::Result<Counts> {
        if let Some(stdin) = &mut self.stdin {
            stdin.write_all(b"\n")?;
        }
        self.answer()
    }

    /// Lets it finish the connections that it has begun, and returns what it counted in all.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn stop(mut self) -> io::Result<Counts> {
        self.stdin = None;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Counts> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| io::Error::other(format!("the client is gone, it said `{line}`")))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends with its input, unless it hangs.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[derive(Debug, Default)]
struct Tally {
    right: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let reasons = self.reasons.lock().map(|reasons| reasons.clone()).unwrap_or_default();
        let (right, wrong, failed) = (get(&self.right), get(&self.wrong), get(&self.failed));
        Counts { right, wrong, failed, reasons }
    }

    fn print(&self) {
        println!("{}", serde_json::to_string(&self.counts()).unwrap_or_default());
    }
}

/// The client process: begins with the first line of its input, prints what it counted at each line, and ends with it.
pub fn run(targets: &[Target]) {
    let (tally, is_over) = (Tally::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let mut lines = io::stdin().lines().map_while(Result::ok);
        if lines.next().is_some() {
            begin(scope, targets, &tally, &is_over);
            tally.print();
            lines.for_each(|_| tally.print());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    tally.print();
}

/// Connects until it is over, on threads of the scope.
fn begin<'s>(scope: &'s thread::Scope<'s, '_>, targets: &'s [Target], tally: &'s Tally, is_over: &'s AtomicBool) {
    for first in 0..THREADS {
        scope.spawn(move || {
            let each = targets.iter().cycle().skip(first);
            for target in each.take_while(|_| !is_over.load(Ordering::Relaxed)) {
                connect(target, tally);
            }
        });
    }
}

/// Connects until it is over, in this process: what became of the connections.
#[must_use]
pub fn until(is_over: &AtomicBool, targets: &[Target]) -> Counts {
    let tally = Tally::default();
    thread::scope(|scope| begin(scope, targets, &tally, is_over));
    tally.counts()
}

fn connect(target: &Target, tally: &Tally) {
    let count = match ask(target) {
        Ok(name) if name.starts_with(&target.prefix) => &tally.right,
        Ok(_) => &tally.wrong,
        Err(error) => {
            if let Ok(mut reasons) = tally.reasons.lock() {
                *reasons.entry(error.to_string()).or_default() += 1;
            }
            &tally.failed
        }
    };
    count.fetch_add(1, Ordering::Relaxed);
}

fn ask(target: &Target) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&target.address.into(), PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut name = String::new();
    connection.read_to_string(&mut name)?;
    // Ports are few, and each would wait for a minute.
    rustix::net::sockopt::set_socket_linger(&connection, Some(Duration::ZERO))?;
    if name.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(name) }
}
