//! Some servers, each on its own network and its own disk, as far as the machine lets us.
//!
//! As root, a node is a namespace and an image; otherwise an address on loopback and a folder, and the run says
//! so. A machine whose power is cut is both at once, disk and process. Everything that was made is taken
//! down in the opposite order when the cluster is dropped, also by a panic: processes, disks, networks,
//! the folder.

use crate::disk_image::{self, Disk};
use crate::namespace::{self, Namespace, Networks};
use crate::process::{Around, ServerProcess};
use crate::run::Scenario;
use crate::tools::{Missing, must};
use crate::watchdog::Watchdog;
use ringhold_server::founding::{Draft, DraftMember};
use rustix::process::Signal;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Of most scenarios.
pub(crate) const NODES: usize = 5;
const PARTITIONS: u32 = 64;
const HTTP_PORT: u16 = 8_098;
/// Small, so that segments close and checkpoints are taken within a scenario.
const SEGMENT_BYTES: u64 = 2 * 1024 * 1024;

const ON_A_SHARED_DISK: [&str; 2] = [
    "storage.disk_refuse_percent=98",
    "storage.disk_deletes_only_percent=99",
];

/// One node's machine.
#[derive(Debug)]
pub(crate) struct Node {
    process: Option<ServerProcess>,
    pub(crate) disk: Disk,
    pub(crate) http: SocketAddr,
    /// Of `serve`, each time it is started.
    arguments: Vec<String>,
    /// That it was founded with or has joined, and has not been seen to leave.
    is_member: bool,
    prefix: Vec<String>,
    log: PathBuf,
}

/// The order of the fields is the order in which things are taken down.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    networks: Result<Networks, Missing>,
    /// Why the disks are folders, if they are.
    disks: Result<(), Missing>,
    /// Why their power can't be cut, if it can't.
    power: Result<(), Missing>,
    folder: RunFolder,
}

impl Cluster {
    /// Makes the machines. The calling thread, and what it starts, is among the clients from then on.
    pub(crate) fn make(scenario: &Scenario, seed: u64) -> Self {
        let folder = RunFolder::make(scenario.name, seed);
        let networks = Networks::make(scenario.machines);
        if let Ok(networks) = &networks {
            networks
                .enter_hub()
                .expect("who can make a namespace can enter it");
        }
        let mut cluster = Self {
            nodes: Vec::new(),
            networks,
            disks: Ok(()),
            power: Ok(()),
            folder,
        };
        let founding = cluster.found(scenario.founders);
        for node in 0..scenario.machines {
            let made = cluster.make_node(node, &founding, scenario);
            cluster.nodes.push(made);
        }
        // Only trying shows; nothing is on the disk yet.
        let disk = cluster.disk(0);
        cluster.power = disk.cut_power().and_then(|()| disk.boot());
        cluster
    }

    fn host(&self, node: usize) -> Ipv4Addr {
        if self.networks.is_ok() {
            return namespace::address(node);
        }
        // All of 127/8 is loopback; the process's id keeps two runs apart.
        let [.., high, low] = std::process::id().to_be_bytes();
        let last = u8::try_from(node + 1).expect("a handful");
        Ipv4Addr::new(127, high, low, last)
    }

    fn found(&self, founders: usize) -> PathBuf {
        let member = |node| DraftMember {
            name: name(node),
            peer: self.peer(node),
            ..DraftMember::default()
        };
        let draft = Draft {
            partitions: Some(PARTITIONS),
            members: (0..founders).map(member).collect(),
            ..Draft::default()
        };
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("there is randomness");
        let founding = draft.draw(&mut random).expect("it is a cluster");
        let path = self.folder.path.join("founding.toml");
        founding.write(&path).expect("the folder is ours");
        path
    }

    fn make_node(&mut self, node: usize, founding: &Path, scenario: &Scenario) -> Node {
        let (folder, name) = (&self.folder.path, name(node));
        let disk = Disk::image(folder, &name, scenario.disk_bytes).or_else(|missing| {
            fs::remove_dir(folder.join(format!("{name}.disk"))).ok();
            self.disks = Err(missing);
            Disk::folder(folder, &name)
        });
        let disk = disk.expect("a folder can be made");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments = vec![
            "--exit-with-parent".to_owned(),
            "--insecure".to_owned(),
            "--name".to_owned(),
            name.clone(),
            "--data-dir".to_owned(),
            text(&disk.path().join("data")),
            "--set".to_owned(),
            format!("storage.segment_bytes={SEGMENT_BYTES}"),
        ];
        let is_member = node < scenario.founders;
        if is_member {
            arguments.extend(["--founding".to_owned(), text(founding)]);
        }
        // A folder is on the machine's own disk, however full that one is.
        let shared = if self.disks.is_err() {
            &ON_A_SHARED_DISK[..]
        } else {
            &[]
        };
        for setting in shared.iter().chain(scenario.settings) {
            arguments.extend(["--set", setting].map(str::to_owned));
        }
        let network = self.networks.as_ref().ok();
        Node {
            process: None,
            disk,
            http: SocketAddr::from((self.host(node), HTTP_PORT)),
            arguments,
            is_member,
            prefix: network.map_or_else(Vec::new, |networks| networks.nodes[node].prefix()),
            log: folder.join(format!("{name}.log")),
        }
    }

    /// What the machine gives, for the report.
    pub(crate) fn describe(&self) -> String {
        let network = match &self.networks {
            Ok(_) => "a network namespace each".to_owned(),
            Err(missing) => format!("loopback addresses ({missing})"),
        };
        let disks = match &self.disks {
            Ok(()) => "an ext4 image each".to_owned(),
            Err(missing) => format!("plain folders ({missing})"),
        };
        format!("{} nodes, {network}, {disks}", self.nodes.len())
    }

    pub(crate) fn networks(&self) -> Result<&Networks, Missing> {
        self.networks.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn namespace(&self, node: usize) -> &Namespace {
        let networks = self.networks.as_ref();
        &networks.expect("the scenario asked for namespaces").nodes[node]
    }

    pub(crate) fn disks(&self) -> Result<(), Missing> {
        self.disks.clone()
    }

    pub(crate) fn power(&self) -> Result<(), Missing> {
        self.power.clone()
    }

    pub(crate) fn disk(&self, node: usize) -> &Disk {
        &self.nodes[node].disk
    }

    /// A file of this run.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }

    /// The machines that are in the cluster.
    pub(crate) fn members(&self) -> Vec<usize> {
        let nodes = 0..self.nodes.len();
        nodes.filter(|node| self.nodes[*node].is_member).collect()
    }

    /// Where clients find the members.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let members = self.members().into_iter();
        members.map(|node| self.address(node)).collect()
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].http
    }

    /// Where the other nodes find it.
    fn peer(&self, node: usize) -> String {
        format!("{}:{}", self.host(node), HTTP_PORT + 1)
    }

    /// Starts a machine that is not in the cluster, with a token of it. From now on it is started with the same words each time.
    pub(crate) fn join(&mut self, node: usize, through: usize, token: &str) {
        let host = self.host(node);
        let at = |port: u16| SocketAddr::from((host, port)).to_string();
        let words = [
            ("--http", at(HTTP_PORT)),
            ("--peer", at(HTTP_PORT + 1)),
            ("--native", at(HTTP_PORT + 2)),
            ("--join", self.peer(through)),
            ("--token", token.to_owned()),
        ];
        let words = words.map(|(flag, value)| [flag.to_owned(), value]);
        let joiner = &mut self.nodes[node];
        joiner.arguments.extend(words.into_iter().flatten());
        joiner.is_member = true;
        self.start(node, &Around::Nothing);
    }

    /// Takes note that a machine is no member any more. Its process must have ended.
    pub(crate) fn has_left(&mut self, node: usize) {
        assert!(!self.runs(node), "who has left ends by itself");
        self.nodes[node].is_member = false;
    }

    /// Starts a node that does not run.
    pub(crate) fn start(&mut self, node: usize, around: &Around) {
        assert!(!self.runs(node), "a node is started once");
        let node = &mut self.nodes[node];
        let process = ServerProcess::start(&node.prefix, around, &node.arguments, &node.log);
        node.process = Some(must(process));
    }

    pub(crate) fn runs(&mut self, node: usize) -> bool {
        let process = self.nodes[node].process.as_mut();
        process.is_some_and(|process| process.ended().is_none())
    }

    /// SIGKILL, as the machine's end would.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill();
        }
    }

    pub(crate) fn signal(&mut self, node: usize, signal: Signal) {
        if let Some(process) = &mut self.nodes[node].process {
            process.signal(signal);
        }
    }

    /// How a node ended by itself, if it has.
    pub(crate) fn ended(&mut self, node: usize) -> Option<String> {
        let process = self.nodes[node].process.as_mut()?;
        process.ended().map(|status| status.to_string())
    }

    /// The last line of its log.
    pub(crate) fn last_words(&self, node: usize) -> String {
        let log = fs::read_to_string(&self.nodes[node].log).unwrap_or_default();
        log.lines().next_back().unwrap_or_default().to_owned()
    }

    /// Cuts the power of these machines, as near to at once as can be. Their disks are ready for the next
    /// start afterwards.
    ///
    /// Processes stop before their disks do. A flush that is under way while ext4 shuts down now and then succeeds
    /// without its bytes; on a machine without power, nobody is left to believe it.
    pub(crate) fn cut_power(&mut self, nodes: &[usize], watchdog: &Watchdog) {
        nodes
            .iter()
            .for_each(|&node| self.signal(node, Signal::STOP));
        for &node in nodes {
            if let Some(process) = &mut self.nodes[node].process {
                watchdog.wait_until("a server stands still", || process.stands_still());
            }
        }
        let disks: Vec<&Disk> = nodes.iter().map(|&node| self.disk(node)).collect();
        std::thread::scope(|scope| {
            for disk in disks {
                scope.spawn(|| must(disk.cut_power()));
            }
        });
        nodes.iter().for_each(|&node| self.kill(node));
        nodes.iter().for_each(|&node| must(self.disk(node).boot()));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.nodes.iter().map(|node| node.log.clone());
            self.folder.keep_logs(logs.collect());
        }
    }
}

/// As the founding file has it.
pub(crate) fn name(node: usize) -> String {
    format!("node{}", node + 1)
}

/// What a run leaves on the machine's own disk: nothing, or the logs of a failure.
#[derive(Debug)]
struct RunFolder {
    path: PathBuf,
    /// Where the logs go if the scenario fails.
    failed: PathBuf,
}

impl RunFolder {
    fn make(scenario: &str, seed: u64) -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("harness");
        sweep(&base);
        let path = base.join(format!("run-{}-{scenario}", std::process::id()));
        fs::create_dir_all(&path).expect("cargo's folder for tests can be written to");
        Self {
            path,
            failed: base.join(format!("failed-{scenario}-{seed}")),
        }
    }

    fn keep_logs(&self, logs: Vec<PathBuf>) {
        fs::create_dir_all(&self.failed).ok();
        for log in logs {
            if let Some(name) = log.file_name() {
                fs::copy(&log, self.failed.join(name)).ok();
            }
        }
        eprintln!("the nodes' logs are in {}", self.failed.display());
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} is left: {error}", self.path.display());
        }
    }
}

/// Removes the folders of runs that are gone.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix("run-")
            .and_then(|rest| rest.split_once('-'));
        if process.is_some_and(|(process, _)| !namespace::is_alive(process)) {
            disk_image::sweep(&entry.path());
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
