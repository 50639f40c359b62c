//! Which nodes run where: from a wish, or from what an earlier `dev` founded in the directory.
//!
//! Addresses and identities are in the founding file, and the nodes' data knows them; so a
//! directory that is used again decides, and a wish that says otherwise is an error and not a
//! silent change.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use ringhold_server::founding::{Draft, DraftMember, Founding};

use crate::dev::{DevError, riak_types};
use crate::random;

const NODES_DEFAULT: u16 = 3;
const BASE_PORT_DEFAULT: u16 = 10_000;
/// Ports of one node, from its own base: the last digits of the defaults 8098, 8099, 8100.
const HTTP: u16 = 8;
const PEER: u16 = 9;
const NATIVE: u16 = 10;
const PORTS_A_NODE: u16 = 10;
/// Protocol Buffers are served so many ports below HTTP, where they are looked for if nobody says otherwise.
const PB_BELOW_HTTP: u16 = 11;
/// Where free ports are looked for, and how often before giving up.
const FREE_PORTS: std::ops::Range<u16> = 12_000..32_000;
const FREE_PORT_TRIES: usize = 100;
/// Ten times a handful of members (§6.2), and few enough for a laptop's disk.
const PARTITIONS: u32 = 64;

/// What is asked for; what is left out is as founded, or the default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    pub(crate) nodes: Option<u16>,
    pub(crate) ports: Ports,
    pub(crate) zones: Option<u16>,
    /// With what Riak's client libraries want.
    pub(crate) riak_types: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Ports {
    #[default]
    AsFounded,
    /// Ten a node, from here on.
    From(u16),
    /// Whatever the system has to give at this moment.
    Free,
}

/// A cluster that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Absolute.
    pub(crate) dir: PathBuf,
    pub(crate) founding_path: PathBuf,
    pub(crate) founding: Founding,
    /// What all nodes are started with besides, as `KEY=VALUE`.
    pub(crate) settings: Vec<String>,
    /// Whether it is to have what Riak's client libraries want.
    pub(crate) riak_types: bool,
}

impl Plan {
    /// Makes the directory and its founding file, or reads what is there.
    pub(crate) fn prepare(dir: &Path, wish: Wish) -> Result<Self, DevError> {
        let folder = |error| DevError::Folder {
            path: dir.to_owned(),
            error,
        };
        std::fs::create_dir_all(dir).map_err(folder)?;
        let dir = std::path::absolute(dir).map_err(folder)?;
        let founding_path = dir.join("founding.toml");
        let founding_error = |error| DevError::Founding {
            path: founding_path.clone(),
            error,
        };
        if founding_path.exists() {
            let founding = Founding::load(&founding_path).map_err(founding_error)?;
            wish.compare(&dir, &founding)?;
            return Ok(Self {
                dir,
                founding_path,
                founding,
                settings: Vec::new(),
                riak_types: wish.riak_types,
            });
        }
        let members = wish.members()?;
        let draft = Draft {
            partitions: Some(PARTITIONS),
            members,
            ..Draft::default()
        };
        let founding = draft.draw(&mut random::fill).map_err(founding_error)?;
        founding.write(&founding_path).map_err(founding_error)?;
        Ok(Self {
            dir,
            founding_path,
            founding,
            settings: Vec::new(),
            riak_types: wish.riak_types,
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.founding
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect()
    }

    /// The machine's cores, shared out among its nodes: threads that wait for a core only wake each other.
    pub(crate) fn threads_each(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / self.founding.members.len().max(1)).max(1)
    }

    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Base URLs of the HTTP listeners, in the order of the members.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.founding
            .members
            .iter()
            .map(|member| format!("http://{}", member.http))
            .collect()
    }
}

impl Wish {
    fn members(self) -> Result<Vec<DraftMember>, DevError> {
        let nodes = self.nodes.unwrap_or(NODES_DEFAULT);
        let zones = self.zones.unwrap_or(0);
        let ports = match self.ports {
            Ports::Free => free_ports(nodes)?,
            Ports::From(base) => ports_from(base, nodes)?,
            Ports::AsFounded => ports_from(BASE_PORT_DEFAULT, nodes)?,
        };
        let member = |(index, [pb, http, peer, native]): (usize, [u16; 4])| {
            let address = |port: u16| format!("{}:{port}", Ipv4Addr::LOCALHOST);
            let zone = match usize::from(zones) {
                0 => String::new(),
                zones => format!("zone{}", index % zones + 1),
            };
            DraftMember {
                name: if self.riak_types {
                    riak_types::node_name(index + 1)
                } else {
                    format!("node{}", index + 1)
                },
                peer: address(peer),
                http: Some(address(http)),
                native: Some(address(native)),
                pb: Some(address(pb)),
                zone,
                ..DraftMember::default()
            }
        };
        Ok(ports.into_iter().enumerate().map(member).collect())
    }

    fn compare(self, dir: &Path, founding: &Founding) -> Result<(), DevError> {
        let differ = |what, founded: String, wanted: String| {
            Err(DevError::OtherCluster {
                path: dir.to_owned(),
                what,
                founded,
                wanted,
            })
        };
        let founded = founding.members.len();
        if let Some(wanted) = self.nodes.filter(|&nodes| usize::from(nodes) != founded) {
            return differ("nodes:", founded.to_string(), wanted.to_string());
        }
        if let Ports::From(base) = self.ports {
            let wanted = format!(
                "{}:{}",
                Ipv4Addr::LOCALHOST,
                u32::from(base) + u32::from(HTTP)
            );
            let founded = &founding.members[0].http;
            if *founded != wanted {
                return differ("its first HTTP listener at", founded.clone(), wanted);
            }
        }
        let mut zones: Vec<&str> = founding
            .members
            .iter()
            .map(|member| member.zone.as_str())
            .collect();
        zones.sort_unstable();
        zones.dedup();
        let founded = zones.iter().filter(|zone| !zone.is_empty()).count();
        match self.zones {
            // There can't be more zones in use than nodes.
            Some(wanted) if usize::from(wanted).min(founding.members.len()) != founded => {
                differ("zones:", founded.to_string(), wanted.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// Protocol Buffers, HTTP, peer and native port of each node.
fn ports_from(base: u16, nodes: u16) -> Result<Vec<[u16; 4]>, DevError> {
    let node_ports = |node: u16| {
        let own_base = node.checked_mul(PORTS_A_NODE)?.checked_add(base)?;
        let [http, peer, native] = [HTTP, PEER, NATIVE].map(|offset| own_base.checked_add(offset));
        Some([http?.checked_sub(PB_BELOW_HTTP)?, http?, peer?, native?])
    };
    (0..nodes)
        .map(|node| node_ports(node).ok_or(DevError::Ports { base, nodes }))
        .collect()
}

/// Ports that nobody listens on; all are held until the last one is known, so that they differ. They are
/// drawn from below the range that the system gives to outgoing connections: between now and a node's
/// start, nobody is handed one of them by chance.
fn free_ports(nodes: u16) -> Result<Vec<[u16; 4]>, DevError> {
    let mut held = Vec::new();
    let mut free = || {
        let mut refused = None;
        for _ in 0..FREE_PORT_TRIES {
            let [low, high, ..] = random::identity().to_be_bytes();
            let drawn = u16::from_be_bytes([low, high]) % (FREE_PORTS.end - FREE_PORTS.start);
            match TcpListener::bind((Ipv4Addr::LOCALHOST, FREE_PORTS.start + drawn)) {
                Ok(listener) => {
                    held.push(listener);
                    return Ok(FREE_PORTS.start + drawn);
                }
                Err(error) => refused = Some(error),
            }
        }
        let error = refused.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
        Err(DevError::NoFreePort { error })
    };
    (0..nodes)
        .map(|_| Ok([free()?, free()?, free()?, free()?]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_new_directory_is_founded_as_wished() {
        let folder = folder();
        let wish = Wish {
            nodes: Some(3),
            ports: Ports::From(20_000),
            zones: Some(2),
            riak_types: false,
        };
        let plan = Plan::prepare(&folder.path().join("new"), wish).expect("a plan");
        let rows: Vec<(&str, &str, &str, &str)> = plan
            .founding
            .members
            .iter()
            .map(|member| (&*member.name, &*member.http, &*member.native, &*member.zone))
            .collect();
        assert_eq!(
            rows,
            [
                ("node1", "127.0.0.1:20008", "127.0.0.1:20010", "zone1"),
                ("node2", "127.0.0.1:20018", "127.0.0.1:20020", "zone2"),
                ("node3", "127.0.0.1:20028", "127.0.0.1:20030", "zone1"),
            ]
        );
        assert!(plan.dir.is_absolute());
    }

    #[test]
    fn a_used_directory_stays_the_same_cluster() {
        let folder = folder();
        let wish = Wish {
            nodes: Some(4),
            ports: Ports::From(20_000),
            zones: None,
            riak_types: false,
        };
        let first = Plan::prepare(folder.path(), wish).expect("founded");
        let again = Plan::prepare(folder.path(), Wish::default()).expect("as founded");
        assert_eq!(first.founding, again.founding);
        let same = Plan::prepare(folder.path(), wish).expect("the same wish");
        assert_eq!(first.founding, same.founding);
        for other in [
            Wish {
                nodes: Some(3),
                ..Wish::default()
            },
            Wish {
                ports: Ports::From(10_000),
                ..Wish::default()
            },
            Wish {
                zones: Some(2),
                ..Wish::default()
            },
        ] {
            let error = Plan::prepare(folder.path(), other).expect_err("another cluster");
            assert!(matches!(error, DevError::OtherCluster { .. }), "{error}");
        }
    }

    #[test]
    fn ports_end_where_they_end() {
        assert!(ports_from(65_525, 1).is_ok());
        assert!(matches!(ports_from(65_526, 1), Err(DevError::Ports { .. })));
        assert!(matches!(
            ports_from(10_000, u16::MAX),
            Err(DevError::Ports { .. })
        ));
        let mut free: Vec<u16> = free_ports(4)
            .expect("free ports")
            .into_iter()
            .flatten()
            .collect();
        free.sort_unstable();
        free.dedup();
        assert_eq!(free.len(), 16);
    }
}
