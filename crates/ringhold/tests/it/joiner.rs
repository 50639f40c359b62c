//! Nodes that join a cluster under test, each a process of its own.

use crate::cluster::{Cluster, Member, ringhold};
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};

/// A node that ends with the test.
pub(crate) struct Serve {
    pub(crate) process: Child,
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// One that `cluster token` gives out.
pub(crate) fn token(member: &Member) -> String {
    let given = ringhold()
        .args(["cluster", "token", "--ttl", "5m", "--at"])
        .arg(format!("http://{}", member.http))
        .output()
        .expect("the binary runs");
    assert!(given.status.success(), "{given:?}");
    let text = String::from_utf8(given.stdout).expect("a text");
    let token = text.trim();
    assert!(token.starts_with("rhjoin_"), "not a token alone: {token}");
    token.to_owned()
}

/// The machine that runs the tests may have little room left; that is not what is tested.
const ON_A_SHARED_DISK: [&str; 2] = [
    "storage.disk_refuse_percent=98",
    "storage.disk_deletes_only_percent=99",
];

/// A new node with its directory and its log in `directory`.
pub(crate) fn joining(
    directory: &Path,
    (name, port): (&str, u16),
    mode: &str,
    peer: &str,
    token: &str,
    settings: &[(&str, &str)],
) -> Child {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let log = File::create(directory.join(format!("{name}.log"))).expect("a log");
    ringhold()
        .args(["serve", "--name", name, "--peer-tls", mode, "--join", peer])
        .args(["--http", &at(port - 1), "--peer", &at(port)])
        .args(["--pb", &at(0), "--native", &at(port + 1), "--data-dir"])
        .arg(directory.join(name))
        .args(
            ON_A_SHARED_DISK
                .iter()
                .flat_map(|setting| ["--set", setting]),
        )
        .env("RINGHOLD_JOIN_TOKEN", token)
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the binary runs")
}

/// A port that was free a moment ago, and so were its neighbours.
pub(crate) fn three_ports() -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        if port < u16::MAX && (port - 1..=port + 1).all(is_free) {
            return port;
        }
    }
}

pub(crate) fn peer_address(cluster: &Cluster) -> String {
    let json = cluster.description();
    let nodes = json["nodes"].as_array().expect("a list");
    nodes[0]["peer"].as_str().expect("a text").to_owned()
}
