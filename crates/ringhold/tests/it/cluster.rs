//! A cluster under test: `ringhold dev` in a temporary directory, on free ports.

use crate::http::{self, Answer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A cluster that isn't there after this time never will be.
const PATIENCE: Duration = Duration::from_secs(180);

/// A change of the placement waits for as long as a put may take: with little patience it is short.
pub(crate) const IMPATIENT: [(&str, &str); 1] = [("RINGHOLD_TIMEOUTS_PUT_MS", "1000")];

pub(crate) struct Cluster {
    dev: Child,
    directory: TempDir,
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) pid: i32,
    pub(crate) http: String,
    pub(crate) native: String,
}

impl Cluster {
    pub(crate) fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// The same, with settings of all nodes as variables.
    pub(crate) fn start_with(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dev = dev(directory.path(), nodes, settings);
        let mut cluster = Self { dev, directory };
        cluster.wait("all nodes listen", |cluster| {
            cluster.directory.path().join("cluster.json").exists()
        });
        cluster
    }

    /// What `dev` says of itself.
    pub(crate) fn description(&self) -> Value {
        let path = self.directory.path().join("cluster.json");
        let text = std::fs::read_to_string(path).expect("dev wrote cluster.json");
        serde_json::from_str(&text).expect("it is JSON")
    }

    /// Where it says so.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("cluster.json")
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let json = self.description();
        let text = |node: &Value, key: &str| node[key].as_str().expect("a text").to_owned();
        let member = |node: &Value| Member {
            name: text(node, "name"),
            pid: i32::try_from(node["pid"].as_i64().expect("a number")).expect("a process id"),
            http: text(node, "http")
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
            native: text(node, "native"),
        };
        json["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(member)
            .collect()
    }

    /// SIGKILL, as the machine would.
    pub(crate) fn kill(&self, member: &Member) {
        member.signal(Signal::KILL);
    }

    /// SIGKILL, and an empty disk in place of the node's own.
    pub(crate) fn wipe(&mut self, member: &Member) {
        self.kill(member);
        let gone = member.clone();
        self.wait("the killed node is gone", move |_| {
            gone.try_send("GET", "/health/live", &[], b"").is_none()
        });
        let data = self.directory.path().join(&member.name);
        assert!(data.is_dir(), "{} is a data directory", data.display());
        // Its last threads may still be closing files.
        self.wait("its directory is empty", move |_| {
            std::fs::remove_dir_all(&data).is_ok()
        });
    }

    /// All nodes stop, lose everything, and are founded anew from the same list.
    pub(crate) fn start_again_with_empty_disks(&mut self) {
        let members = self.members();
        let nodes = members.len();
        self.stop();
        for member in &members {
            let data = self.directory.path().join(&member.name);
            fs::remove_dir_all(data).expect("a stopped node's directory can be removed");
        }
        fs::remove_file(self.directory.path().join("cluster.json")).ok();
        self.dev = dev(self.directory.path(), nodes, &[]);
        self.wait("all nodes listen again", |cluster| {
            cluster.directory.path().join("cluster.json").exists()
        });
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.dev.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).ok();
        }
        self.dev.wait().ok();
    }

    /// Where a node keeps everything.
    pub(crate) fn data_dir(&self, member: &Member) -> PathBuf {
        let json = self.description();
        let nodes = json["nodes"].as_array().expect("a list");
        let node = nodes.iter().find(|node| node["name"] == *member.name);
        let path = node.and_then(|node| node["data_dir"].as_str());
        PathBuf::from(path.expect("each node has a directory"))
    }

    /// Waits until a node's process that was told to stop is gone.
    pub(crate) fn wait_for_exit(&mut self, member: &Member) {
        let process = PathBuf::from(format!("/proc/{}/stat", member.pid));
        self.wait("the process has ended", |_| {
            // A zombie has ended too: its parent takes note of it when it likes.
            fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "))
        });
    }

    /// Starts a node that was killed again; whether it is there a moment later.
    pub(crate) fn start_again(&self, name: &str) -> bool {
        let status = ringhold()
            .args(["dev", "restart", name, "--dir"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.expect("the binary runs").success()
    }

    /// Starts a node that was killed again, and waits until it is ready.
    pub(crate) fn restart(&mut self, name: &str) {
        assert!(self.start_again(name), "dev restart {name}");
        let name = name.to_owned();
        self.wait("the node is ready", move |cluster| {
            let member = cluster
                .members()
                .into_iter()
                .find(|member| member.name == name)
                .expect("it is a member");
            http::request(&member.http, "GET", "/health/ready", &[], b"")
                .is_some_and(|answer| answer.status == 200)
        });
    }

    /// Waits until every node reaches every other.
    pub(crate) fn wait_until_connected(&mut self) {
        self.wait("all members reach each other", |cluster| {
            cluster.members().iter().all(|member| {
                let answer = http::request(&member.http, "GET", "/ringhold/v1/status", &[], b"");
                let json =
                    answer.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
                let members = json.as_ref().and_then(|json| json["members"].as_array());
                members
                    .is_some_and(|members| members.iter().all(|member| member["reachable"] == true))
            })
        });
    }

    /// Waits until every node reaches every other and takes requests.
    pub(crate) fn wait_until_ready(&mut self) {
        self.wait_until_connected();
        self.wait("all members are ready", |cluster| {
            cluster.members().iter().all(|member| {
                let answer = http::request(&member.http, "GET", "/health/ready", &[], b"");
                answer.is_some_and(|answer| answer.status == 200)
            })
        });
    }

    pub(crate) fn wait(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !done(self) {
            let ended = self.dev.try_wait().expect("dev is our child");
            assert!(
                ended.is_none(),
                "dev ended while waiting until {what}: {ended:?}"
            );
            assert!(
                started.elapsed() < PATIENCE,
                "waited three minutes until {what}"
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Member {
    /// SIGSTOP makes a node silent without closing anything; SIGCONT lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid).expect("a process id");
        kill_process(pid, signal).expect("the node runs");
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_send("GET", path, headers, b"")
            .expect("the node answers")
    }

    pub(crate) fn put(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = vec![("Content-Type", "text/plain")];
        all.extend_from_slice(headers);
        self.try_send("PUT", path, &all, body)
            .expect("the node answers")
    }

    /// A document of the node's own; null if it does not answer.
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.try_send("GET", path, &[], b"");
        answer
            .and_then(|answer| serde_json::from_str(&answer.body).ok())
            .unwrap_or_default()
    }

    /// One of its metrics that has no labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics", &[]).body;
        let value = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .parse::<u64>()
                .ok()
        };
        let value = page.lines().find_map(value);
        value.unwrap_or_else(|| panic!("no {name} in the metrics"))
    }

    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        http::request(&self.http, method, path, headers, body)
    }
}

/// `ringhold cluster` with these words, at a member.
pub(crate) fn cluster(member: &Member, words: &[&str]) -> Output {
    let at = format!("http://{}", member.http);
    let command = ringhold()
        .arg("cluster")
        .args(words)
        .args(["--at", &at])
        .output();
    command.expect("the binary runs")
}

pub(crate) fn ringhold() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ringhold"))
}

fn dev(directory: &Path, nodes: usize, settings: &[(&str, &str)]) -> Child {
    ringhold()
        .args([
            "dev",
            "--base-port",
            "0",
            "--nodes",
            &nodes.to_string(),
            "--dir",
        ])
        .arg(directory)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs")
}
