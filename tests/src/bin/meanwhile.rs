//! An upgrade as a process that can be stopped at its system calls: `meanwhile DIR LOCK [MAP.MEMBER ...]`, members that are added up.
//!
//! It goes on under its parent's eyes once all is staged, and tells its report as JSON. The plan goes to the file `$MAPLOCK_TEST_PLAN`.

use std::process::ExitCode;

use maplock::{Options, Policies, Policy, Report, Spec};

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            eprintln!("{}", serde_json::to_string(&report).expect("plain data"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Report, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, lock, sums @ ..] = words.as_slice() else { return Err("a directory and a lock are asked for".into()) };
    let mut policies = Policies::default();
    for (map, member) in sums.iter().filter_map(|sum| sum.split_once('.')) {
        let sum = vec![member.to_owned()];
        policies.maps.insert(map.to_owned(), Policy { sum, ..Policy::default() });
    }
    let spec = Spec::parse(&std::fs::read_to_string(lock)?)?;
    let upgrade = Options::new(spec, dir).policies(policies).begin()?;
    if let Some(file) = std::env::var_os("MAPLOCK_TEST_PLAN") {
        std::fs::write(file, upgrade.plan().to_string())?;
    }
    let staged = upgrade.stage()?;
    #[cfg(target_arch = "x86_64")]
    maplock_tests::trace::offer()?;
    Ok(staged.commit()?)
}
