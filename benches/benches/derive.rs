//! What `#[derive(MapValue)]` costs: a cold build of a crate with 50 structs of 10 members that derive zerocopy's four traits,
//! against the same with `MapValue`. Dependencies are built beforehand: what is compared is the crate itself.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use maplock_bench::compare::{in_units, median};
use maplock_layout::lock::LockedMap;
use maplock_layout::map::{MapDef, MapType};
use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Lock, Member, Shape};
use maplock_tests::toolchain::root;

const STRUCTS: usize = 50;
const MEMBERS: usize = 10;
const ROUNDS: usize = 9;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let others: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if !maplock_bench::is_measuring() || !(others.is_empty() || others.iter().any(|name| "derive".contains(&**name))) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let names = ["plain", "derived"];
    for (name, more) in names.into_iter().zip(["", "maplock::MapValue, "]) {
        package(&folder.path().join(name), more)?;
        build(&folder.path().join(name))?;
    }
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let mut each = [0.0; 2];
        for turn in 0..2 {
            let at = (round + turn) % 2;
            let package = folder.path().join(names[at]);
            run(Command::new(env!("CARGO")).args(["clean", "--quiet", "--package", "structs"]).current_dir(&package))?;
            let start = Instant::now();
            build(&package)?;
            each[at] = start.elapsed().as_secs_f64();
        }
        rounds.push(each);
    }
    let [plain, derived] = [0, 1].map(|at| median(rounds.iter().map(|each| each[at])));
    let ratio = median(rounds.iter().map(|each| each[1] / each[0]));
    let verdict = if ratio <= 1.5 { "met" } else { "**missed**" };
    println!("\n| {STRUCTS} structs of {MEMBERS} members | time (median of {ROUNDS}) | goal |\n|---|---:|---|");
    println!("| zerocopy's four derives | {} | |", in_units(plain));
    println!("| and `MapValue` | {} ({ratio:.2} times) | at most 1.5 times: {verdict} |\n", in_units(derived));
    Ok(())
}

fn package(folder: &Path, more: &str) -> Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"structs\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         maplock = {{ path = {:?} }}\nzerocopy = {{ version = \"0.8\", features = [\"derive\"] }}\n",
        root().join("runtime")
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let (mut lock, mut text) = (Lock::default(), String::new());
    for number in 0..STRUCTS {
        let mut members = Vec::new();
        writeln!(
            text,
            "#[derive(Clone, Copy, {more}zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]\n\
             #[repr(C)]\npub struct Value{number} {{"
        )?;
        for member in 0..MEMBERS {
            writeln!(text, "    pub m{member}: u64,")?;
            members.push(Member {
                name: format!("m{member}").as_str().into(),
                offset_bits: 64 * member as u64,
                bits: None,
                layout: Arc::new(Layout::new(8, Shape::Int(IntKind::Unsigned))),
            });
        }
        text.push_str("}\n");
        let name = format!("value{number}");
        let of = Composite::new(CompositeKind::Struct, Some(name.as_str().into()), members)?;
        let mut def = MapDef::new(format!("map{number}"), MapType::ARRAY);
        (def.key_size, def.value_size, def.max_entries) = (4, 8 * MEMBERS as u32, 1);
        def.value = Some(Arc::new(Layout::new(8 * MEMBERS as u64, Shape::Composite(Arc::new(of)))));
        lock.maps.insert(def.name.clone(), LockedMap::new(def));
    }
    fs::write(folder.join("src/lib.rs"), text)?;
    fs::write(folder.join("maps.lock"), lock.to_string())?;
    Ok(())
}

fn build(folder: &Path) -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet"]).current_dir(folder);
    run(cargo.env("CARGO_TARGET_DIR", folder.join("target")).env("CARGO_INCREMENTAL", "0").env_remove("RUSTFLAGS"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
