//! Writes the seeds of all targets into `corpus/`, from the objects in `bpf/` and, where clang is installed, from the
//! fixtures there.
#![allow(missing_docs)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use maplock_codegen::Object;
use maplock_layout::{Config, ObjectMaps, observe};
use object::{Object as _, ObjectSection as _};

fn main() -> Result<(), Box<dyn Error>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bpf = fuzz.join("../bpf");
    for target in ["btf", "elf", "lock"] {
        fs::create_dir_all(fuzz.join("corpus").join(target))?;
    }
    let mut objects = files(&bpf, "o")?;
    let scratch = env::temp_dir().join("maplock-fuzz-seeds");
    fs::create_dir_all(&scratch)?;
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    for source in files(&bpf.join("fixtures"), "c")? {
        for (target, debug) in [("bpfel", "-g"), ("bpfeb", "-g"), ("bpfel", "-gdwarf-4")] {
            let object = scratch.join(format!("{}.{target}{debug}.o", stem(&source)));
            let status = Command::new(&clang)
                .args(["-target", target, "-O2", "-g", debug, "-c", "-I"])
                .arg(bpf.join("include"))
                .arg(&source)
                .arg("-o")
                .arg(&object)
                .status();
            match status {
                Ok(status) if status.success() => objects.push(object),
                _ => eprintln!("{} was not compiled by {clang}", source.display()),
            }
        }
    }
    for (number, path) in objects.iter().enumerate() {
        let bytes = fs::read(path)?;
        let name = format!("{number:03}-{}", stem(path));
        fs::write(fuzz.join("corpus/elf").join(&name), &bytes)?;
        let btf =
            object::File::parse(&*bytes)?.section_by_name(".BTF").map(|section| section.data().map(<[u8]>::to_vec));
        if let Some(btf) = btf.transpose()? {
            fs::write(fuzz.join("corpus/btf").join(&name), btf)?;
        }
        if let Ok(object) = Object::parse(&bytes) {
            let maps = [ObjectMaps::new(name.clone(), object.maps)];
            let lock = observe(&maps, &Config::default())?.lock;
            fs::write(fuzz.join("corpus/lock").join(&name), lock.to_string())?;
        }
    }
    println!("{} objects", objects.len());
    Ok(())
}

fn stem(path: &Path) -> String {
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    format!("{}-{}", parent.display(), path.file_stem().unwrap_or_default().display())
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
