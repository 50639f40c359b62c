//! A network of its own for every node.
//!
//! One namespace, the hub, holds a bridge and the clients; each node has a namespace with one interface, `eth0`, whose
//! other end is on the bridge. Nothing of it touches the network of the machine, so addresses are always the
//! same and two runs don't meet; only the names of the namespaces are seen by all, and hold the process's id.
//!
//! ```text
//! hub     bridge 10.77.0.254 ─┬─ node1.. node5
//! node1   eth0 10.77.0.1 ─────┘
//! ```
//!
//! A thread enters a namespace for good, and whatever it starts is in there too. What an earlier run left because it
//! was killed is swept away at the start.

use crate::tools::{self, Missing};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/var/run/netns";
const PREFIX: &str = "ringhold-";
const BRIDGE: &str = "bridge0";
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// One network namespace, deleted when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    fn make(part: &str) -> Result<Self, Missing> {
        let name = format!("{PREFIX}{}-{part}", std::process::id());
        tools::run("ip", &["netns", "add", &name])?;
        let made = Self { name };
        made.ip("link set lo up")?;
        Ok(made)
    }

    /// `ip` within it.
    fn ip(&self, arguments: &str) -> Result<(), Missing> {
        let words: Vec<&str> = ["-n", &self.name]
            .into_iter()
            .chain(arguments.split(' '))
            .collect();
        tools::run("ip", &words)
    }

    fn file(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// What goes before a command so that it runs in here. Unlike `ip netns exec`, `nsenter` leaves the
    /// mounts alone: a disk that is unmounted is unmounted for everyone.
    pub(crate) fn prefix(&self) -> Vec<String> {
        vec![
            "nsenter".to_owned(),
            format!("--net={}", self.file().display()),
        ]
    }

    /// Runs a program in here, to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<(), Missing> {
        let program = tools::find(program)?.to_string_lossy().into_owned();
        let mut words = vec![format!("--net={}", self.file().display()), program];
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        tools::run("nsenter", &words)
    }

    /// Moves the calling thread in here, for good.
    pub(crate) fn enter(&self) -> Result<(), Missing> {
        let refused = |error: std::io::Error| Missing(format!("{}: {error}", self.name));
        let file = File::open(self.file()).map_err(refused)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| refused(error.into()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = tools::run("ip", &["netns", "del", &self.name]) {
            eprintln!("a network namespace is left: {error}");
        }
    }
}

/// The hub and the nodes around it.
#[derive(Debug)]
pub(crate) struct Networks {
    hub: Namespace,
    pub(crate) nodes: Vec<Namespace>,
}

impl Networks {
    /// # Errors
    /// If the machine doesn't let us; what was made is gone again.
    pub(crate) fn make(nodes: usize) -> Result<Self, Missing> {
        tools::is_root()?;
        tools::find("nsenter")?;
        sweep();
        let hub = Namespace::make("hub")?;
        hub.ip(&format!("link add {BRIDGE} type bridge"))?;
        hub.ip(&format!("addr add {CLIENTS}/24 dev {BRIDGE}"))?;
        hub.ip(&format!("link set {BRIDGE} up"))?;
        let mut networks = Self {
            hub,
            nodes: Vec::new(),
        };
        for node in 0..nodes {
            networks.attach(node)?;
        }
        Ok(networks)
    }

    fn attach(&mut self, node: usize) -> Result<(), Missing> {
        let namespace = Namespace::make(&format!("node{}", node + 1))?;
        let (hub, port) = (&self.hub, port(node));
        hub.ip(&format!(
            "link add {port} type veth peer name eth0 netns {}",
            namespace.name
        ))?;
        hub.ip(&format!("link set {port} master {BRIDGE} up"))?;
        namespace.ip(&format!("addr add {}/24 dev eth0", address(node)))?;
        namespace.ip("link set eth0 up")?;
        self.nodes.push(namespace);
        Ok(())
    }

    /// Moves the calling thread to where the clients are.
    pub(crate) fn enter_hub(&self) -> Result<(), Missing> {
        self.hub.enter()
    }

    /// Pulls a node's cable, or puts it back.
    pub(crate) fn set_cable(&self, node: usize, plugged: bool) -> Result<(), Missing> {
        let state = if plugged { "up" } else { "down" };
        self.hub.ip(&format!("link set {} {state}", port(node)))
    }
}

/// A node's address on the bridge.
pub(crate) fn address(node: usize) -> Ipv4Addr {
    let last = u8::try_from(node + 1).expect("a handful of nodes");
    Ipv4Addr::new(10, 77, 0, last)
}

fn port(node: usize) -> String {
    format!("port{}", node + 1)
}

/// Whether a process of this id runs.
pub(crate) fn is_alive(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

/// Deletes the namespaces of runs that are gone.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(FOLDER) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'));
        if process.is_some_and(|(process, _)| !is_alive(process)) {
            drop(Namespace { name });
        }
    }
}
