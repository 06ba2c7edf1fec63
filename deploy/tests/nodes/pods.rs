//! The manifest as it is, in podman: its pod template, with the test in the place of the kubelet. What differs from a cluster stands in
//! `docs/kubernetes.md`.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use maplock_layout::Lock;
use maplock_layout::lock::OnUpgrade;
use maplock_tests::container::{podman, with_lock};
use maplock_tests::kernel::{Bpffs, Cgroup, Netns, unique};
use maplock_tests::toolchain::{root, run};
use minimesh::config::{Config, Service};
use minimesh::traffic::{Backends, Client, Target};
use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};
use tempfile::TempDir;

use crate::containers::image;
use crate::metrics::get;
use crate::{minimesh, said, wait_until};

/// What the kubelet of a node works with.
struct Kubelet {
    bpffs: Bpffs,
    cgroup: Cgroup,
    folder: TempDir,
    /// The services, and the name of their ConfigMap, for which podman makes a volume.
    config: Config,
    config_map: String,
    pods: Vec<Pod>,
}

/// A pod, and the manifest that it was played from.
struct Pod {
    name: String,
    file: PathBuf,
}

impl Kubelet {
    /// Runs a pod of the DaemonSet's template. Where its init container fails, its exit code is the error, and the daemon does not start.
    fn run(&mut self, release: &str, image: &str) -> Result<String, i32> {
        let text = fs::read_to_string(root().join("deploy/minimesh.yaml")).unwrap();
        let mut documents =
            Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect::<Vec<_>>();
        let mut config = documents.remove(1);
        config["metadata"]["name"] = self.config_map.clone().into();
        config["data"]["services.toml"] = toml::to_string(&self.config).unwrap().into();
        let template = documents[1]["spec"]["template"].clone();
        let mut pod: Value = serde_yaml_ng::from_str("{apiVersion: v1, kind: Pod}").unwrap();
        pod["metadata"] = template["metadata"].clone();
        pod["spec"] = template["spec"].clone();
        let name = unique("pod");
        pod["metadata"]["name"] = name.clone().into();
        // Of the template's fields, podman reads neither `seccompProfile` nor when an init container is to run again.
        pod["metadata"]["annotations"] = serde_yaml_ng::from_str(
            "{io.podman.annotations.init.container.type: always, seccomp.security.alpha.kubernetes.io/pod: localhost/seccomp.json}",
        )
        .unwrap();
        pod["spec"]["restartPolicy"] = "Never".into();
        for container in ["initContainers", "containers"] {
            pod["spec"][container][0]["image"] = image.into();
        }
        // podman maps ports of networks of its own alone.
        pod["spec"]["containers"][0].as_mapping_mut().unwrap().remove("ports").expect("a port");
        for word in pod["spec"]["containers"][0]["args"].as_sequence_mut().unwrap() {
            if word.as_str().unwrap().starts_with("--release=") {
                *word = format!("--release={release}").into();
            }
            // All pods here have one network.
            if word.as_str().unwrap().starts_with("--listen=") {
                *word = "--listen=127.0.0.1:0".into();
            }
        }
        for volume in pod["spec"]["volumes"].as_sequence_mut().unwrap() {
            match volume["name"].as_str().unwrap() {
                "bpffs" => volume["hostPath"]["path"] = self.bpffs.path().to_str().unwrap().into(),
                "cgroup" => volume["hostPath"]["path"] = self.cgroup.path().to_str().unwrap().into(),
                "config" => volume["configMap"]["name"] = self.config_map.clone().into(),
                // podman gives the volume of this name to every pod.
                "run" => volume["name"] = format!("{name}-run").into(),
                _ => {}
            }
        }
        for mount in pod["spec"]["containers"][0]["volumeMounts"].as_sequence_mut().unwrap() {
            if mount["name"] == "run" {
                mount["name"] = format!("{name}-run").into();
            }
        }
        let file = self.folder.path().join(format!("{name}.yaml"));
        let documents = [config, pod].map(|document| serde_yaml_ng::to_string(&document).unwrap());
        fs::write(&file, documents.join("---\n")).unwrap();
        let mut play = podman();
        play.args(["kube", "play", "--network=host", "--seccomp-profile-root"]).arg(root().join("deploy")).arg(&file);
        let output = play.output().unwrap();
        self.pods.push(Pod { name: name.clone(), file });
        if output.status.success() {
            return Ok(name);
        }
        let plan =
            podman().args(["inspect", "--format={{.State.ExitCode}}", &format!("{name}-plan")]).output().unwrap();
        let code = String::from_utf8_lossy(&plan.stdout).trim().parse().unwrap_or_else(|_| panic!("{}", said(&output)));
        assert!(code != 0, "{}", said(&output));
        Err(code)
    }

    fn exec(pod: &str, words: &[String]) -> Output {
        podman().args(["exec", &format!("{pod}-minimesh")]).args(words).output().unwrap()
    }

    /// What the readiness probe says, and what the daemon has said where it is not ready.
    fn probe(pod: &str) -> Result<(), String> {
        let text = fs::read_to_string(root().join("deploy/minimesh.yaml")).unwrap();
        let set = Deserializer::from_str(&text).nth(2).map(|document| Value::deserialize(document).unwrap()).unwrap();
        let probe = &set["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"];
        let words = probe.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
        let output = Self::exec(pod, &words.collect::<Vec<_>>());
        if output.status.success() {
            return Ok(());
        }
        let logs = podman().args(["logs", &format!("{pod}-minimesh")]).output().unwrap();
        Err(said(&output) + &said(&logs))
    }

    /// What `/healthz` of its daemon answers.
    fn health(pod: &str) -> (u16, String) {
        let logs = said(&podman().args(["logs", &format!("{pod}-minimesh")]).output().unwrap());
        let address = logs.split_once("listens on ").unwrap().1.split('"').next().unwrap();
        get(address, "/healthz")
    }

    fn wait_for(pod: &str) {
        wait_until("the pod is ready", || Self::probe(pod).is_ok());
    }

    fn end(&mut self, pod: &str) {
        if let Some(at) = self.pods.iter().position(|of| of.name == pod) {
            let Pod { name, file } = self.pods.remove(at);
            _ = podman().args(["pod", "rm", "--force", "--time=0", &name]).output();
            _ = fs::remove_file(file);
        }
    }

    fn generation(&self) -> String {
        let output = std::process::Command::new(crate::maplock())
            .arg("inspect")
            .arg(self.bpffs.path().join("minimesh"))
            .output()
            .unwrap();
        said(&output).lines().next().unwrap_or_default().rsplit(' ').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        for name in self.pods.iter().map(|pod| pod.name.clone()).collect::<Vec<_>>() {
            self.end(&name);
        }
        _ = podman().args(["volume", "rm", "--force", &self.config_map]).output();
    }
}

#[test]
fn the_manifests_pods_take_over_from_each_other_under_traffic_and_a_denied_one_changes_nothing() {
    let Some(v2) = image() else { return };
    let release_lock =
        |release: &str| fs::read_to_string(root().join(format!("minimesh/releases/{release}.lock"))).unwrap();
    let v1 = "localhost/minimesh:test-v1";
    with_lock(v1, v2, &fs::read_to_string(root().join("minimesh/maps.lock")).unwrap());
    // As if v3 had been accepted otherwise.
    let mut swaps = Lock::parse(&release_lock("v3")).unwrap();
    let epoch = swaps.maps.get_mut("stats").unwrap().epochs.last_mut().unwrap();
    epoch.on_upgrade = OnUpgrade::Swap;
    epoch.merge.clear();
    let v3 = "localhost/minimesh:test-v3";
    with_lock(v3, v2, &swaps.to_string());

    Netns::new().run(|| {
        let backends = Backends::start(&["cart-1", "cart-2"]).unwrap();
        let service = Service {
            id: 1,
            address: "10.96.0.10:80".parse().unwrap(),
            by_user: false,
            backends: backends.addresses("cart-"),
            draining: Vec::new(),
        };
        let target = Target { address: service.address, prefix: "cart-".to_owned() };
        let mut node = Kubelet {
            bpffs: Bpffs::mount(),
            cgroup: Cgroup::new(),
            folder: tempfile::tempdir().unwrap(),
            config: Config { service: vec![service] },
            config_map: unique("config"),
            pods: Vec::new(),
        };
        let old = node.run("v1", v1).expect("a first installation");
        Kubelet::wait_for(&old);
        let mut client = Client::start(minimesh(), node.cgroup.path(), &[target]).unwrap();

        // The surge: the new pod beside the old one, which ends when the new one is ready.
        let new = node.run("v2", v2).expect("v2 loses nothing");
        Kubelet::wait_for(&new);
        assert_eq!(Kubelet::probe(&old), Ok(()), "its node serves");
        assert_eq!(node.generation(), "2");
        node.end(&old);

        // A roll-out that is denied, and its undoing.
        assert_eq!(node.run("v3", v3), Err(100), "it would give up counts");
        let denied = node.pods.last().unwrap().name.clone();
        let state = podman().args(["inspect", "--format={{.State.Status}}", &format!("{denied}-minimesh")]).output();
        assert_eq!(said(&state.unwrap()).trim(), "created", "its daemon does not start");
        assert_eq!(Kubelet::probe(&new), Ok(()));
        node.end(&denied);
        assert_eq!(node.generation(), "2");

        // Back by hand, in the pod: it stays ready.
        let rollback = ["maplock", "rollback", "/sys/fs/bpf/minimesh"].map(str::to_owned);
        let output = Kubelet::exec(&new, &rollback);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(node.generation(), "1");
        assert_eq!(Kubelet::probe(&new), Ok(()), "it has committed once, and its node serves");
        assert_eq!(Kubelet::health(&new), (200, "generation 1 serves\n".to_owned()));

        let counts = client.counts().unwrap();
        assert!(counts.right > 0);
        let counts = client.stop().unwrap();
        assert_eq!((counts.failed, counts.wrong), (0, 0), "{:?}", counts.reasons);
        node.end(&new);
    });
    for image in [v1, v3] {
        run(podman().args(["image", "rm", "--force", image]));
    }
}
