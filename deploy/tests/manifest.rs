//! The manifest for Kubernetes: held against the schema, its commands run, its page read.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Namespace, PodSpec};
use maplock_layout::Lock;
use maplock_layout::lock::OnUpgrade;
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::toolchain::{built, root};
use minimesh::config::Config;
use serde::de::{Deserialize as _, DeserializeOwned};
use serde_yaml_ng::{Deserializer, Value};

fn manifest() -> String {
    fs::read_to_string(root().join("deploy/minimesh.yaml")).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// The document as the schema's type for it, if nothing gets lost on the way: the schema has a place for each of its fields.
fn typed<T: DeserializeOwned + serde::Serialize>(document: &Value) -> Result<T, String> {
    let typed: T = serde_yaml_ng::from_value(document.clone()).map_err(|error| error.to_string())?;
    let again = serde_yaml_ng::to_value(&typed).unwrap();
    let (there, back) = (paths(document), paths(&again));
    match there.symmetric_difference(&back).next() {
        None => Ok(typed),
        Some(path) => Err(format!("the schema has no `{path}`")),
    }
}

/// `spec.template.spec.hostPID=true`, for each scalar.
fn paths(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    walk(value, &format!("{path}.{}", key.as_str().unwrap()), paths);
                }
            }
            Value::Sequence(sequence) => {
                for (index, value) in sequence.iter().enumerate() {
                    walk(value, &format!("{path}.{index}"), paths);
                }
            }
            scalar => _ = paths.insert(format!("{path}={}", serde_yaml_ng::to_string(scalar).unwrap().trim())),
        }
    }
    let mut paths = BTreeSet::new();
    walk(value, "", &mut paths);
    paths
}

fn daemon_set() -> DaemonSet {
    typed(&documents(&manifest())[2]).unwrap()
}

fn pod() -> PodSpec {
    daemon_set().spec.unwrap().template.spec.unwrap()
}

#[test]
fn every_field_of_the_manifest_is_one_of_the_schema() {
    let documents = documents(&manifest());
    let [namespace, config, daemon_set] = documents.as_slice() else { panic!("{} documents", documents.len()) };
    typed::<Namespace>(namespace).unwrap();
    typed::<ConfigMap>(config).unwrap();
    typed::<DaemonSet>(daemon_set).unwrap();
}

#[test]
fn a_misspelt_field_is_found() {
    for (right, wrong) in [
        ("mountPropagation", "mountPropogation"),
        ("maxSurge: 1", "maxsurge: 1"),
        ("hostPID: true", "hostPid: true"),
        ("add: [BPF", "adds: [BPF"),
    ] {
        let text = manifest().replace(right, wrong);
        assert_ne!(text, manifest(), "{right}");
        let error = typed::<DaemonSet>(&documents(&text)[2]).unwrap_err();
        assert!(error.contains(wrong.split(':').next().unwrap()), "{error}");
    }
}

#[test]
fn what_the_pod_selects_and_mounts_is_there() {
    let set = daemon_set().spec.unwrap();
    let labels = set.template.metadata.unwrap().labels.unwrap();
    assert!(set.selector.match_labels.unwrap().iter().all(|(name, value)| labels.get(name) == Some(value)));
    let pod = pod();
    let volumes: BTreeSet<_> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
    let containers = pod.containers.into_iter().chain(pod.init_containers.unwrap());
    let mounted: BTreeSet<_> =
        containers.flat_map(|container| container.volume_mounts.unwrap()).map(|mount| mount.name).collect();
    assert_eq!(volumes, mounted);
}

#[test]
fn the_configuration_in_it_is_one() {
    let config: ConfigMap = typed(&documents(&manifest())[1]).unwrap();
    let data = config.data.unwrap();
    let parsed: Config = toml::from_str(&data["services.toml"]).unwrap();
    assert_eq!(parsed.service.len(), 1);
}

#[test]
fn each_line_that_is_not_obvious_is_explained() {
    const OBVIOUS: [&str; 24] = [
        "add",
        "apiVersion",
        "args",
        "command",
        "containers",
        "cpu",
        "data",
        "exec",
        "image",
        "kind",
        "labels",
        "limits",
        "matchLabels",
        "metadata",
        "name",
        "namespace",
        "path",
        "requests",
        "rollingUpdate",
        "selector",
        "spec",
        "template",
        "type",
        "volumes",
    ];
    let page = fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    let mut keys = BTreeSet::new();
    for line in manifest().lines() {
        let key = line.trim_start_matches([' ', '-']).split_once(':').map_or("", |(key, _)| key);
        if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic()) && !OBVIOUS.contains(&key) {
            keys.insert(key.to_owned());
        }
    }
    assert!(keys.len() > 20, "{keys:?}");
    let capabilities = pod().containers[0].security_context.clone().unwrap().capabilities.unwrap().add.unwrap();
    keys.extend(capabilities);
    let unexplained: Vec<_> = keys.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
    assert!(unexplained.is_empty(), "docs/kubernetes.md says nothing of {unexplained:?}");
}

/// A container's command line, with other paths for some of its options.
fn command(program: &Path, words: &[String], replaced: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(program);
    for word in words {
        match replaced.iter().find(|(option, _)| word.starts_with(&format!("{option}="))) {
            Some((option, path)) => command.arg(format!("{option}={}", path.display())),
            None => command.arg(word),
        };
    }
    command
}

fn words(container: &Container) -> Vec<String> {
    [container.command.clone(), container.args.clone()].into_iter().flatten().flatten().skip(1).collect()
}

#[test]
fn the_init_container_holds_back_what_loses_entries() {
    if !kernel::available() {
        return;
    }
    let (maplock, minimesh) = (built("cargo-maplock", "maplock"), built("minimesh", "minimesh"));
    let (bpffs, cgroup, pod) = (Bpffs::mount(), Cgroup::new(), pod());
    let pins = bpffs.path().join("minimesh");
    let (config, folder) = (tempfile::NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
    let init = words(&pod.init_containers.unwrap()[0]);
    let daemon = words(&pod.containers[0]);

    // As if v3 had been accepted otherwise.
    let release_lock = |release: &str| root().join(format!("minimesh/releases/{release}.lock"));
    let mut v3 = Lock::parse(&fs::read_to_string(release_lock("v3")).unwrap()).unwrap();
    let epoch = v3.maps.get_mut("stats").unwrap().epochs.last_mut().unwrap();
    assert_eq!(epoch.on_upgrade, OnUpgrade::Migrate);
    epoch.on_upgrade = OnUpgrade::Swap;
    epoch.merge.clear();
    let swaps = tempfile::NamedTempFile::new().unwrap();
    fs::write(swaps.path(), v3.to_string()).unwrap();

    let plan = |words: &[String], release: &str| {
        let lock = if release == "v3-swap" { swaps.path().into() } else { release_lock(release) };
        let output = command(&maplock, words, &[("--lock", &lock), ("--pins", &pins)]).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        eprintln!("{out}{err}");
        output.status.code().unwrap()
    };
    let upgrade = |release: &str| {
        let ready = folder.path().join("ready");
        let paths = [
            ("--pins", pins.as_path()),
            ("--cgroup", cgroup.path()),
            ("--config", config.path()),
            ("--ready", ready.as_path()),
            ("--listen", Path::new("127.0.0.1:0")),
        ];
        let mut command = command(&minimesh, &daemon, &paths);
        let args: Vec<_> = command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
        let args =
            args.iter().map(|word| if word == "--release=v2" { format!("--release={release}") } else { word.clone() });
        command = Command::new(command.get_program());
        let output = command.args(args).arg("--once").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };

    assert_eq!(plan(&init, "v2"), 0, "a node where nothing is installed yet");
    upgrade("v1");
    assert_eq!(plan(&init, "v2"), 0, "v2 loses nothing");
    upgrade("v2");
    assert_eq!(plan(&init, "v3"), 0, "v3 converts what v2 has counted");
    assert_eq!(plan(&init, "v3-swap"), 100, "this one gives it up");
}
