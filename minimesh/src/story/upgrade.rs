//! The second half: from each release to the next and back, with a client that connects without pause.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use maplock_harness::{BPFFS, World};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::config::{Config, Service};
use crate::kmesh_way::CONTROL_PLANE;
use crate::release::{self, Release};
use crate::traffic::{Backends, Client, Counts, Ledger, Target};

/// Up the releases and down again.
const WAY: [&str; 7] = ["v1", "v2", "v3", "v4", "v3", "v2", "v1"];

/// How long each release serves.
const STAY: Duration = Duration::from_millis(1_000);

/// Why the story can't be told.
#[derive(Debug)]
pub enum Problem {
    /// What it needs and does not have.
    Needs(String),
    /// What went wrong in the middle of it.
    Failed(String),
}

/// Tells it, on the standard output, as it happens.
///
/// # Errors
/// Where it can't be told, or is interrupted.
pub fn tell() -> Result<(), Problem> {
    let world = World::enter(true).map_err(|error| Problem::Needs(error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = [SIGINT, SIGTERM]
        .into_iter()
        .try_for_each(|signal| signal_hook::flag::register(signal, stop.clone()).map(drop))
        .map_err(|error| error.to_string())
        .and_then(|()| both_ways(&world, &stop));
    match told {
        Err(_) if stop.load(Ordering::Relaxed) => Err(Problem::Failed("interrupted; everything is removed".to_owned())),
        told => told.map_err(Problem::Failed),
    }
}

/// What came of one way to upgrade.
#[derive(Debug, Default)]
struct Outcome {
    counts: Counts,
    /// Connections that were answered, less those that the live `stats` counts at the end.
    given_up: u64,
    /// Those that a swap has put away between v1 and v2, whose counts are laid out alike.
    given_up_without_need: u64,
    /// Connections that no map counted.
    lost: u64,
}

fn both_ways(world: &World, stop: &AtomicBool) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let backends = Backends::start(&["cart-1", "cart-2", "cart-3", "web-1", "web-2", "old-1"]).map_err(io)?;
    let service = |id, address: &str, backends, draining| -> Result<Service, String> {
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        Ok(Service { id, address, by_user: false, backends, draining })
    };
    // A backend of another name among those of `cart`: who reads `draining` where it is not connects to it.
    let old = backends.addresses("old-");
    let cart = [backends.addresses("cart-"), old.clone()].concat();
    let config = Config {
        service: vec![
            service(1, "10.96.0.10:80", cart, old)?,
            service(2, "10.96.0.11:80", backends.addresses("web-"), Vec::new())?,
        ],
    };
    let folder = tempfile::tempdir().map_err(io)?;
    let config_file = folder.path().join("services.toml");
    std::fs::write(&config_file, toml::to_string(&config).map_err(|error| error.to_string())?).map_err(io)?;
    let prefixes = ["cart-", "web-"].map(str::to_owned);
    let targets =
        config.service.iter().zip(prefixes).map(|(service, prefix)| Target { address: service.address, prefix });

    println!(
        "A client in a cgroup of its own connects to 10.96.0.10:80 and 10.96.0.11:80 without pause, and checks who answers."
    );
    let mut chapter = Chapter {
        cgroup: world.cgroup().path(),
        pins: Path::new(BPFFS).join("minimesh"),
        config: config_file,
        targets: targets.collect(),
        is_kmeshs: false,
        stop,
    };
    let ours = chapter.tell()?;
    println!("\n== the same upgrades as Kmesh does them: new empty map, unlink, rename, load, switch, refill ==");
    println!(
        "\nMaps that changed are empty until the control plane has answered, here after {} ms.\n",
        CONTROL_PLANE.as_millis()
    );
    chapter.is_kmeshs = true;
    chapter.pins = Path::new(BPFFS).join("kmesh");
    let theirs = chapter.tell()?;
    summary(&ours, &theirs);
    Ok(())
}

fn summary(ours: &Outcome, theirs: &Outcome) {
    println!("\n{:44}{:>12}{:>16}", "", "maplock", "Kmesh's way");
    let row = |what: &str, of: &dyn Fn(&Outcome) -> u64| {
        println!("{what:44}{:>12}{:>16}", thousands(of(ours)), thousands(of(theirs)));
    };
    row("connections, over 6 upgrades", &|outcome| outcome.counts.answered() + outcome.counts.failed);
    row("connections that failed", &|outcome| outcome.counts.failed);
    row("connections that a wrong backend answered", &|outcome| outcome.counts.wrong);
    row("connections that no map counted", &|outcome| outcome.lost);
    row("counts that were left behind", &|outcome| outcome.given_up);
    row("  of these, between v1 and v2", &|outcome| outcome.given_up_without_need);
}

/// The way up and down, with one client.
struct Chapter<'a> {
    cgroup: &'a Path,
    pins: PathBuf,
    config: PathBuf,
    targets: Vec<Target>,
    is_kmeshs: bool,
    stop: &'a AtomicBool,
}

impl Chapter<'_> {
    fn tell(&self) -> Result<Outcome, String> {
        let at = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let program = std::env::current_exe().map_err(at("the path of this program"))?;
        let mut ledger = Ledger::default();
        let mut outcome = Outcome::default();
        let mut client: Option<Client> = None;
        let mut before: Option<(&str, u32, Counts)> = None;
        for name in WAY {
            let spec = Release::embedded(name)?.spec;
            let change = release::all().find(|(release, _)| *release == name).map_or("", |(_, change)| change);
            let old = before.as_ref().map(|(old, ..)| *old);
            if !self.is_kmeshs {
                match old {
                    None => println!("\n== {name}: {change} ==\n"),
                    Some(old) if old < name => println!("\n== {old} to {name}: {change} ==\n"),
                    Some(old) => println!("\n== {old} back to {name} ==\n"),
                }
            }
            self.upgrade(&program, name, old)?;
            let client = match &mut client {
                Some(client) => client,
                none => none.insert(
                    Client::start(&program, self.cgroup, &self.targets).map_err(at("the client can't be started"))?,
                ),
            };
            let stats = ledger.note(&self.pins, &spec).map_err(at("the pin of `stats`"))?;
            let mut line = String::new();
            if let Some((old, before, _)) = before
                && before != stats
            {
                // The commit has waited for the old programs: nobody counts there any more.
                let counts = ledger.of(before).map_err(at("the old `stats`"))?;
                if self.is_kmeshs {
                    line = format!("; `stats` restarts: {} counts are left behind", thousands(counts));
                    if [old, name].iter().all(|release| ["v1", "v2"].contains(release)) {
                        outcome.given_up_without_need += counts;
                    }
                } else {
                    ledger.carry(before, stats).map_err(at("the old `stats`"))?;
                    line = format!("; {} counts of {old} converted to {name}'s", thousands(counts));
                }
            }
            self.stay()?;
            let counts = client.counts().map_err(at("the client"))?;
            let (answered, failed) = before.as_ref().map_or((0, 0), |(.., old)| (old.answered(), old.failed));
            println!(
                "{}{} connections, {} failed{line}",
                match old {
                    _ if !self.is_kmeshs => String::new(),
                    None => format!("{name}: "),
                    Some(old) => format!("{old} to {name}: "),
                },
                thousands(counts.answered() - answered),
                thousands(counts.failed - failed),
            );
            before = Some((name, stats, counts));
        }
        outcome.counts = client.map_or_else(|| Ok(Counts::default()), Client::stop).map_err(at("the client"))?;
        if let Some((_, stats, _)) = before {
            // As the kernel tells it, whatever became of the maps before it.
            let (answered, counted) = (outcome.counts.answered(), ledger.of(stats).map_err(at("`stats`"))?);
            if counted > answered + outcome.counts.failed {
                return Err(format!("`stats` counts {counted} connections, and there were {answered}"));
            }
            outcome.given_up = answered.saturating_sub(counted);
        }
        outcome.lost = outcome.counts.answered().saturating_sub(ledger.total().map_err(at("the maps"))?);
        for (reason, count) in &outcome.counts.reasons {
            println!("{} connections failed with: {reason}", thousands(*count));
        }
        // The next chapter's programs are the only ones then.
        remove(&self.pins).map_err(at("the pins can't be removed"))?;
        Ok(outcome)
    }

    fn upgrade(&self, program: &Path, release: &str, old: Option<&str>) -> Result<(), String> {
        let mut command = Command::new(program);
        command.args(["daemon", "--once", "--release", release]);
        for (option, path) in [("--cgroup", self.cgroup), ("--pins", &self.pins), ("--config", &self.config)] {
            command.arg(option).arg(path);
        }
        if self.is_kmeshs {
            command.arg(format!("--kmesh-way-from={}", old.unwrap_or_default()));
        }
        let output = command.output().map_err(|error| format!("the daemon can't be started: {error}"))?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "the daemon of {release} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }

    fn stay(&self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < STAY {
            if self.stop.load(Ordering::Relaxed) {
                return Err("interrupted".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Removes the generations in a directory and beside it: programs that nothing pins are detached.
fn remove(pins: &Path) -> std::io::Result<()> {
    let Some(parent) = pins.parent() else { return Ok(()) };
    let name = pins.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for entry in std::fs::read_dir(parent)? {
        let path = entry?.path();
        let is_ours = path.file_name().is_some_and(|file| {
            let file = file.to_string_lossy();
            file == name || file.starts_with(&format!("{name}@"))
        });
        if is_ours {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
