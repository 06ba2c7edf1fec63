//! What a lock says of an object does not depend on who compiled it, for which byte order, and what was stripped since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_codegen::{Object, SourceLine};
use maplock_layout::config::Levels;
use maplock_layout::map::{MapDef, Origin};
use maplock_layout::rules::Attribute;
use maplock_layout::{Lock, compare};
use maplock_layout_tests::toolchain::{Clang, Fixture, Order, objcopy, root, run};
use maplock_layout_tests::{lock, lock_text, maps_of};

fn maps(object: &Path) -> Vec<MapDef> {
    let bytes = fs::read(object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
    maps_of(&bytes).unwrap_or_else(|error| panic!("{}: {error}", object.display()))
}

#[test]
fn every_compiler_and_byte_order_gives_the_same_lock() {
    let Some(clangs) = Clang::at_least(2) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut differences = Vec::new();
    for fixture in Fixture::all() {
        let mut texts = Vec::new();
        for (clang, order) in clangs.iter().flat_map(|clang| Order::BOTH.map(|order| (clang, order))) {
            let Some(object) = fixture.compile(clang, order, folder.path()) else { continue };
            texts.push((object.clone(), lock_text(&maps(&object))));
        }
        assert!(texts.len() >= 4, "{}: only {} objects", fixture.name, texts.len());
        let (first, expected) = &texts[0];
        for (object, text) in &texts[1..] {
            if text != expected {
                let names = [first, object].map(|path| maplock_layout_tests::toolchain::file_name(path));
                differences.push(format!("{names:?}\n{expected}\n--- and\n{text}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// clang before 15 writes the low 32 bits of an enumerator, whatever the enumeration takes.
#[test]
fn no_compiler_makes_a_change_of_an_enumeration_of_eight_bytes() {
    const SOURCE: &str = "#include \"bpf_min.h\"
enum limit { NEVER = 0xffffffffffULL, SOON = 0x80000000ULL, NOW = 1 };
struct timer { enum limit left; enum limit right:34; __u32 count; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(pinning, 1); __type(key, __u32); __type(value, struct timer); } timers SEC(\".maps\");
";
    let Some(compilers) = Clang::at_least(2) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("wide.bpf.c");
    fs::write(&source, SOURCE).expect("a source");
    let mut texts = BTreeSet::new();
    let mut first: Option<MapDef> = None;
    for clang in compilers {
        let object = folder.path().join(format!("{}.o", clang.version));
        clang.compile(Order::Little, &source, &object);
        let def = maps(&object).remove(0);
        texts.insert(lock(std::slice::from_ref(&def)).to_string());
        let first = first.get_or_insert_with(|| def.clone());
        let locks = [&*first, &def].map(|def| lock(std::slice::from_ref(def)));
        let found = compare(&locks[0], &locks[1], &Levels::default()).findings;
        assert_eq!((first.digest(), found), (def.digest(), Vec::new()), "clang {}", clang.version);
        assert!(locks[0].maps["timers"].same_definition(&locks[1].maps["timers"]), "clang {}", clang.version);
    }
    assert!(texts.len() > 1, "no compiler that is here tells less than another");
}

#[test]
fn every_lock_reads_back_as_it_was_written() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut locked = 0;
    for fixture in Fixture::all() {
        let object = fixture.compile(&clang, Order::Little, folder.path()).expect("the newest clang compiles all");
        let text = lock_text(&maps(&object));
        let lock = Lock::parse(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", fixture.name));
        assert_eq!(lock.to_string(), text, "{}", fixture.name);
        locked += lock.maps.len();
    }
    assert!(locked > 280, "{locked} maps");
}

/// A copy of an object, made by llvm-objcopy.
fn copy(program: &str, object: &Path, label: &str, options: &[&str]) -> PathBuf {
    let out = object.with_extension(format!("{label}.o"));
    run(Command::new(program).args(options).arg(object).arg(&out));
    out
}

const COMPRESSED: [(&str, &[&str]); 2] =
    [("zlib", &["--compress-debug-sections=zlib"]), ("zstd", &["--compress-debug-sections=zstd"])];
const WITHOUT_DEBUG: (&str, &[&str]) =
    ("nodebug", &["--strip-debug", "--keep-section=.BTF", "--keep-section=.BTF.ext"]);

#[test]
fn compressed_or_absent_debug_sections_change_no_map() {
    let (Some(clang), Some(objcopy)) = (Clang::newest(), objcopy()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (fixture, order) in Fixture::all().iter().flat_map(|fixture| Order::BOTH.map(|order| (fixture, order))) {
        let object = fixture.compile(&clang, order, folder.path()).expect("the newest clang compiles all");
        let plain = maps(&object);
        for (label, options) in COMPRESSED.into_iter().chain([WITHOUT_DEBUG]) {
            let copied = copy(&objcopy, &object, label, options);
            let (before, after) = (size_of_debug_info(&object), size_of_debug_info(&copied));
            assert_ne!(before, after, "{label} does nothing to {}", fixture.name);
            assert!(maps(&copied) == plain, "{} {label}", fixture.name);
        }
    }
}

fn size_of_debug_info(object: &Path) -> usize {
    let output = run(Command::new("readelf").arg("-SW").arg(object));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(" .debug_info "));
    let size = line.and_then(|line| line.split_whitespace().rev().nth(4).map(str::to_owned));
    size.map_or(0, |size| usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("{size}: {line:?}")))
}

/// Without symbols a legacy map has no name, and a variable no address. Maps of `.maps` are all in the BTF.
#[test]
fn declared_maps_need_nothing_but_btf() {
    let (Some(clang), Some(objcopy)) = (Clang::newest(), objcopy()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["--strip-all", "--remove-section=.rel*", "--remove-section=.debug*", "--keep-section=.BTF"];
    let (mut declared, mut refused) = (0, Vec::new());
    for fixture in Fixture::all() {
        let object = fixture.compile(&clang, Order::Little, folder.path()).expect("the newest clang compiles all");
        let bare = copy(&objcopy, &object, "bare", &options);
        let of_maps = |maps: Vec<MapDef>| -> Vec<MapDef> {
            maps.into_iter().filter(|map| map.origin == Origin::Declared).collect()
        };
        let plain = maps(&object);
        match maps_of(&fs::read(&bare).expect("an object")) {
            Ok(found) => {
                declared += found.iter().filter(|map| map.origin == Origin::Declared).count();
                assert!(of_maps(found) == of_maps(plain), "{}", fixture.name);
            }
            Err(error) => {
                assert!(plain.iter().any(|map| map.origin == Origin::Legacy), "{}: {error}", fixture.name);
                assert!(error.to_string().contains("don't strip the object"), "{}: {error}", fixture.name);
                refused.push(fixture.name);
            }
        }
    }
    assert!(declared > 280, "{declared} maps");
    let legacy = Fixture::all().into_iter().map(|fixture| fixture.name);
    let legacy: Vec<_> = legacy.filter(|name| name.starts_with("legacy_") || name == "mixed").collect();
    assert_eq!(refused, legacy, "objects whose maps had no names left");
}

/// A variable of which nothing tells the address must not be said to lie at byte 0, on top of the others.
#[test]
fn variables_of_stripped_objects_do_not_overlap() {
    let (Some(clang), Some(objcopy)) = (Clang::newest(), objcopy()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let object = Fixture::named("global_data").compile(&clang, Order::Little, folder.path()).expect("an object");
    let bare = copy(&objcopy, &object, "bare", &["--strip-all", "--keep-section=.BTF"]);
    let mut sections = 0;
    for map in maps(&object).into_iter().chain(maps(&bare)).filter(|map| map.origin == Origin::GlobalData) {
        sections += 1;
        let Some(section) = map.value.as_deref().and_then(|layout| layout.composite()) else { continue };
        let mut end = 0;
        for variable in section.members() {
            assert!(variable.offset_bits >= end, "{}: `{}` overlaps what is before it", map.name, variable.name);
            end = variable.end_bits();
        }
    }
    assert!(sections >= 6, "{sections} sections");
}

/// A fixture, a map, a path as in a finding, and what stands in the line where the last member of the path is declared.
const MEMBERS: [(&str, &str, &str, &str); 19] = [
    ("nested", "nested", "nested.key.protocol", "__u16 protocol;"),
    ("nested", "nested", "nested.key.from", "struct endpoint from;"),
    ("nested", "nested", "nested.key.from.port", "__be16 port;"),
    ("nested", "nested", "nested.key.to.addr.in.longs[]", "__be32 longs[4];"),
    ("nested", "nested", "nested.key.code", "__u8 code;"),
    ("nested", "nested", "nested.key.deep_byte", "__u8 deep_byte;"),
    ("nested", "nested", "nested.key.deeper_byte", "__s8 deeper_byte;"),
    ("nested", "nested", "nested.key.beside", "__u8 beside;"),
    ("nested", "nested", "nested.value.by_direction[].bytes", "__u64 bytes;"),
    ("nested", "nested", "nested.value.recent[].when", "__u32 when;"),
    ("nested", "nested", "nested.value.recent[].counter.packets", "__u64 packets;"),
    ("nested", "nested", "nested.value.matrix[][][]", "__u8 matrix[2][3][4];"),
    ("nested", "nested", "nested.value.any.as_double", "double as_double;"),
    ("nested", "array_value", "array_value.value[].bytes", "__u64 bytes;"),
    ("bitfields", "mixed", "mixed.value.negative", "__s32 negative : 7;"),
    ("bitfields", "nested", "nested.value.d", "__u8 d : 6;"),
    ("bitfields", "nested", "nested.value.array[].after", "__u32 after : 5;"),
    ("typedefs", "by_typedef", "by_typedef.value.qualified.owner", "shared_owner_t owner;"),
    ("inner_maps", "anonymous", "anonymous.inner.key.b", "__u32 b;"),
];

/// The lines of a file that are `text`, from 1.
fn lines_of(file: &Path, text: &str) -> Vec<u64> {
    let source = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines: Vec<_> =
        (1..).zip(source.lines()).filter(|(_, line)| line.trim() == text).map(|(line, _)| line).collect();
    assert!(!lines.is_empty(), "no line `{text}` in {}", file.display());
    lines
}

fn find(object: &Path, map: &str, path: &str, attribute: Option<Attribute>) -> Option<SourceLine> {
    let bytes = fs::read(object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
    let object = Object::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
    object.locations().find(map, path, attribute)
}

/// Checks every member of [`MEMBERS`] in an object made from its fixture by `object`.
fn check_members(make: impl Fn(&Fixture) -> PathBuf) {
    let mut objects = BTreeMap::new();
    for (name, map, path, text) in MEMBERS {
        let fixture = Fixture::named(name);
        let lines = lines_of(&fixture.path, text);
        assert_eq!(lines.len(), 1, "`{text}` is there more than once");
        let object = objects.entry(name).or_insert_with(|| make(&fixture));
        let expected = SourceLine { file: fixture.path.display().to_string(), line: lines[0] };
        assert_eq!(find(object, map, path, None), Some(expected), "{path} in {}", object.display());
    }
}

#[test]
fn a_members_line_is_found_whoever_compiled_it_for_either_byte_order() {
    let Some(clangs) = Clang::at_least(1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (clang, order) in clangs.iter().flat_map(|clang| Order::BOTH.map(|order| (clang, order))) {
        check_members(|fixture| fixture.compile(clang, order, folder.path()).expect("an object"));
    }
}

#[test]
fn a_members_line_is_found_in_compressed_debug_sections() {
    let (Some(clang), Some(objcopy)) = (Clang::newest(), objcopy()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for ((label, options), order) in COMPRESSED.into_iter().flat_map(|with| Order::BOTH.map(|order| (with, order))) {
        check_members(|fixture| {
            let object = fixture.compile(&clang, order, folder.path()).expect("an object");
            copy(&objcopy, &object, label, options)
        });
    }
}

#[test]
fn a_members_line_is_found_in_dwarf_of_every_version() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for version in ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"] {
        check_members(|fixture| {
            let out = folder.path().join(format!("{}{version}.o", fixture.name));
            let mut command = clang.command();
            command
                .args(["-target", "bpf", "-O2", "-g", version, "-Wno-everything", "-I"])
                .arg(root().join("bpf/include"));
            run(command.arg("-c").arg(&fixture.path).arg("-o").arg(&out));
            out
        });
    }
}

#[test]
fn without_debug_sections_there_is_no_line() {
    let (Some(clang), Some(objcopy)) = (Clang::newest(), objcopy()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let object = Fixture::named("nested").compile(&clang, Order::Little, folder.path()).expect("an object");
    let (label, options) = WITHOUT_DEBUG;
    assert_eq!(find(&copy(&objcopy, &object, label, options), "nested", "nested.key.protocol", None), None);
}

#[test]
fn an_attribute_of_a_map_is_found_in_its_own_declaration() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::named("inner_maps");
    let object = fixture.compile(&clang, Order::Little, folder.path()).expect("an object");
    let line = |map, attribute| find(&object, map, map, attribute).expect("a line").line;

    let outer = lines_of(&fixture.path, "__uint(max_entries, 8);");
    assert_eq!(
        [line("named", Some(Attribute::MaxEntries)), line("anonymous", Some(Attribute::MaxEntries))],
        outer[..2]
    );
    assert_eq!(
        line("ring_buffers", Some(Attribute::Pinning)),
        lines_of(&fixture.path, "__uint(pinning, LIBBPF_PIN_BY_NAME);")[0]
    );
    // One that the declaration does not have, and none asked for: the line of the map.
    let end = lines_of(&fixture.path, "} sized SEC(\".maps\");")[0];
    assert_eq!([line("sized", Some(Attribute::MapExtra)), line("sized", None)], [end; 2]);
}

#[test]
fn a_member_that_is_gone_is_shown_where_its_struct_is_used() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::named("nested");
    let object = fixture.compile(&clang, Order::Little, folder.path()).expect("an object");
    let found = find(&object, "nested", "nested.key.from.no_longer_there", None).expect("a line");
    assert_eq!(found.line, lines_of(&fixture.path, "struct endpoint from;")[0]);
    assert_eq!(find(&object, "no_such_map", "no_such_map.key.from", None), None);
}

#[test]
fn a_members_line_in_a_header_names_the_header() {
    let object = root().join("bpf/minimesh/v3/minimesh.bpf.o");
    let header = root().join("bpf/minimesh/v3/minimesh.h");
    let source = fs::read_to_string(&header).expect("the header");
    let found = find(&object, "stats", "stats.value.connections", None).expect("a line");
    assert_eq!(found.file, "bpf/minimesh/v3/minimesh.h");
    let line = source.lines().nth(found.line as usize - 1).expect("a line of the header");
    assert!(line.contains(" connections;"), "line {} is `{line}`", found.line);
}
