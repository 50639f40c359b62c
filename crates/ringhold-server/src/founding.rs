//! Founding: one list of members from which every node makes the same first ring document.
//!
//! A cluster begins by one explicit act, never by two nodes that happen to meet (§4.8: membership
//! changes are an administrator's). The act is this file: its identities and its secret are drawn
//! once, by `ringhold cluster init`, and every node that starts with it computes the same ring
//! without having spoken to anyone. A file without them is a [`Draft`]: it says who shall be a
//! member, and can't found anything.
//!
//! ```toml
//! cluster_id = "0123…"        # 32 hexadecimal digits, drawn
//! cluster_secret = "89ab…"    # 64 hexadecimal digits, drawn
//! partitions = 256
//! target_n = 3
//! n_val = 3                   # of buckets that set none; left out: 3
//!
//! [[members]]
//! name = "node1"
//! id = "4567…"                # drawn
//! peer = "10.0.0.1:8099"
//! http = "10.0.0.1:8098"      # left out: one port below `peer`
//! native = "10.0.0.1:8100"    # left out: one port above `peer`
//! pb = "10.0.0.1:8087"        # left out: eleven ports below `http`
//! zone = "a"                  # zone, rack and weight may be left out
//! rack = "a1"
//! weight = 100
//! ```
//!
//! Invariants: names, identities and addresses are distinct; the number of partitions is a power
//! of two; the file holds a secret, so one that its group or anybody else can read is refused.
//!
//! Not here: the ring document itself, and later changes of membership.

mod error;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::str::FromStr;

use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::replication::{N_DEFAULT, N_MAX};
use serde::Deserialize;

pub use error::FoundingError;

use crate::config::quoted;

/// Fixed at founding, so made for the size to come: at least ten times the members expected.
pub const PARTITIONS_DEFAULT: u32 = 256;
/// A document lists every owner: past this, membership costs more than balance gains.
pub const PARTITIONS_MAX: u32 = 1 << 16;
/// Any window of this many partitions lies on distinct nodes, so N can be raised that far.
pub const TARGET_N_DEFAULT: u32 = 5;
/// The weight of an ordinary node; one of twice the capacity has 200.
pub const WEIGHT_DEFAULT: u32 = 100;

/// Bits 0o077: what group and others may do.
const MODE_OTHERS: u32 = 0o077;
const MODE_SECRET: u32 = 0o600;

/// A source of random bytes: fills the slice.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The key under which contexts are authenticated. Shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(pub [u8; 32]);

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

impl ClusterSecret {
    /// 64 hexadecimal digits, for the one file that holds them.
    #[must_use]
    pub fn to_hexadecimal(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hexadecimal(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut secret = [0; 32];
        for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(secret))
    }
}

/// Everything that the first ring document is made from, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    pub cluster_id: ClusterId,
    pub cluster_secret: ClusterSecret,
    /// A power of two.
    pub partitions: u32,
    /// At most the number of members.
    pub target_n: u32,
    /// The replicas of keys whose bucket says nothing else.
    pub n_val: u8,
    /// In the order of the file, never empty.
    pub members: Vec<FoundingMember>,
}

/// One node of the first ring. Addresses are `HOST:PORT`; a host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundingMember {
    pub name: String,
    pub id: NodeId,
    pub peer: String,
    pub http: String,
    pub native: String,
    /// Where Riak's Protocol Buffers API is served, if that is not to follow from `http`.
    pub pb: Option<String>,
    /// Empty if the cluster knows no zones.
    pub zone: String,
    pub rack: String,
    pub weight: u32,
}

/// A list of members that may lack what is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    pub cluster_id: Option<String>,
    pub cluster_secret: Option<String>,
    pub partitions: Option<u32>,
    pub target_n: Option<u32>,
    pub n_val: Option<u8>,
    #[serde(default)]
    pub members: Vec<DraftMember>,
}

/// A row of the list; only name and peer address must be said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftMember {
    pub name: String,
    pub id: Option<String>,
    pub peer: String,
    pub http: Option<String>,
    pub native: Option<String>,
    pub pb: Option<String>,
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub rack: String,
    pub weight: Option<u32>,
}

impl Founding {
    /// A complete file's text.
    pub fn parse(text: &str) -> Result<Self, FoundingError> {
        Draft::parse(text)?.complete()
    }

    /// Reads a complete file, and refuses one that others can read.
    pub fn load(path: &Path) -> Result<Self, FoundingError> {
        let founding = Self::parse(&read(path)?)?;
        refuse_exposed(path)?;
        Ok(founding)
    }

    /// A new cluster of these members: draws the identities that they lack, and the secret.
    pub fn draw(members: Vec<DraftMember>, random: Random<'_>) -> Result<Self, FoundingError> {
        Draft {
            members,
            ..Draft::default()
        }
        .draw(random)
    }

    #[must_use]
    pub fn member(&self, name: &str) -> Option<&FoundingMember> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The file's text; [`Founding::parse`] gives the same value back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# One list of members from which every node founds the same cluster.\n\
             # It holds the cluster's secret: mode 0600, and only on the cluster's own machines.\n",
        );
        text.push_str(&format!(
            "cluster_id = \"{}\"\ncluster_secret = \"{}\"\npartitions = {}\ntarget_n = {}\nn_val = {}\n",
            self.cluster_id,
            self.cluster_secret.to_hexadecimal(),
            self.partitions,
            self.target_n,
            self.n_val
        ));
        for member in &self.members {
            text.push_str(&format!(
                "\n[[members]]\nname = {}\nid = \"{}\"\n",
                quoted(&member.name),
                member.id
            ));
            for (key, value) in [
                ("peer", &member.peer),
                ("http", &member.http),
                ("native", &member.native),
                ("zone", &member.zone),
                ("rack", &member.rack),
            ] {
                text.push_str(&format!("{key} = {}\n", quoted(value)));
            }
            if let Some(pb) = &member.pb {
                text.push_str(&format!("pb = {}\n", quoted(pb)));
            }
            text.push_str(&format!("weight = {}\n", member.weight));
        }
        text
    }

    /// Writes the file with mode 0600, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), FoundingError> {
        let refuse = |error| FoundingError::Write {
            path: path.to_owned(),
            error,
        };
        let name = path
            .file_name()
            .ok_or_else(|| refuse(io::ErrorKind::InvalidInput.into()))?;
        let mut fresh_name = name.to_owned();
        fresh_name.push(".new");
        let fresh = path.with_file_name(fresh_name);
        // A leftover may have another mode, which opening it again would keep.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error)),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(MODE_SECRET)
            .open(&fresh)
            .map_err(refuse)?;
        file.write_all(self.to_toml().as_bytes()).map_err(refuse)?;
        file.sync_all().map_err(refuse)?;
        std::fs::rename(&fresh, path).map_err(refuse)
    }
}

impl Draft {
    pub fn parse(text: &str) -> Result<Self, FoundingError> {
        toml::from_str(text).map_err(|error| FoundingError::Syntax {
            problem: error.to_string(),
        })
    }

    /// Reads a file that may lack what is drawn; one that holds a secret must be for its owner alone.
    pub fn load(path: &Path) -> Result<Self, FoundingError> {
        let draft = Self::parse(&read(path)?)?;
        if draft.cluster_secret.is_some() {
            refuse_exposed(path)?;
        }
        Ok(draft)
    }

    /// Draws what is missing, and nothing else: on a complete draft it changes nothing.
    pub fn draw(mut self, random: Random<'_>) -> Result<Founding, FoundingError> {
        let mut id = || {
            let mut bytes = [0; 16];
            random(&mut bytes);
            format!("{:032x}", u128::from_be_bytes(bytes))
        };
        self.cluster_id.get_or_insert_with(&mut id);
        for member in &mut self.members {
            member.id.get_or_insert_with(&mut id);
        }
        if self.cluster_secret.is_none() {
            let mut secret = ClusterSecret([0; 32]);
            random(&mut secret.0);
            self.cluster_secret = Some(secret.to_hexadecimal());
        }
        self.complete()
    }

    fn complete(self) -> Result<Founding, FoundingError> {
        let cluster_id = identity(self.cluster_id.as_deref(), "cluster_id")?;
        let secret = self.cluster_secret.ok_or_else(|| FoundingError::Undrawn {
            what: "cluster_secret".to_owned(),
        })?;
        let cluster_secret = ClusterSecret::from_hexadecimal(&secret)
            .ok_or_else(|| refused("cluster_secret", "it must be 64 hexadecimal digits"))?;
        let members = self
            .members
            .into_iter()
            .map(DraftMember::complete)
            .collect::<Result<Vec<_>, _>>()?;
        let members_count = u32::try_from(members.len())
            .map_err(|_| refused("members", "there are more than any ring can hold"))?;
        let founding = Founding {
            cluster_id,
            cluster_secret,
            partitions: self.partitions.unwrap_or(PARTITIONS_DEFAULT),
            target_n: self.target_n.unwrap_or(TARGET_N_DEFAULT.min(members_count)),
            n_val: self.n_val.unwrap_or(N_DEFAULT),
            members,
        };
        founding.check(members_count)?;
        Ok(founding)
    }
}

impl Founding {
    fn check(&self, members_count: u32) -> Result<(), FoundingError> {
        if members_count == 0 {
            return Err(refused(
                "members",
                "there is none; add a [[members]] table with name and peer",
            ));
        }
        if !self.partitions.is_power_of_two() || self.partitions > PARTITIONS_MAX {
            let problem = format!(
                "{} is not a power of two up to {PARTITIONS_MAX}",
                self.partitions
            );
            return Err(refused("partitions", &problem));
        }
        if self.partitions < members_count {
            let problem = format!(
                "{} can't be shared by {members_count} members",
                self.partitions
            );
            return Err(refused("partitions", &problem));
        }
        if !(1..=members_count).contains(&self.target_n) {
            let problem = format!(
                "{} is not between 1 and the {members_count} members",
                self.target_n
            );
            return Err(refused("target_n", &problem));
        }
        if !(1..=N_MAX).contains(&self.n_val) {
            let problem = format!("{} is not between 1 and {N_MAX}", self.n_val);
            return Err(refused("n_val", &problem));
        }
        let mut seen = BTreeSet::new();
        for member in &self.members {
            let id = member.id.to_string();
            let always = [
                &member.name,
                &id,
                &member.peer,
                &member.http,
                &member.native,
            ];
            for value in always.into_iter().chain(&member.pb) {
                if !seen.insert(value.clone()) {
                    let problem = format!(
                        "{value:?} occurs twice; names, ids and addresses are each one member's"
                    );
                    return Err(refused(&format!("member {:?}", member.name), &problem));
                }
            }
        }
        Ok(())
    }
}

impl DraftMember {
    fn complete(self) -> Result<FoundingMember, FoundingError> {
        let what = format!("member {:?}", self.name);
        if self.name.is_empty() {
            return Err(refused("members", "one has an empty name"));
        }
        let (host, port) = split_address(&self.peer).map_err(|problem| refused(&what, &problem))?;
        let beside = |said: Option<String>, port: Option<u16>| match (said, port) {
            (Some(said), _) => split_address(&said).map(|_| said.clone()),
            (None, Some(port)) if port > 0 => Ok(format!("{host}:{port}")),
            (None, _) => Err(format!(
                "no port beside {:?} is left for http and native; name them",
                self.peer
            )),
        };
        let http =
            beside(self.http, port.checked_sub(1)).map_err(|problem| refused(&what, &problem))?;
        let native =
            beside(self.native, port.checked_add(1)).map_err(|problem| refused(&what, &problem))?;
        if let Some(pb) = &self.pb {
            split_address(pb).map_err(|problem| refused(&what, &problem))?;
        }
        let weight = self.weight.unwrap_or(WEIGHT_DEFAULT);
        if weight == 0 {
            return Err(refused(
                &what,
                "weight 0 would own nothing; an ordinary node has 100",
            ));
        }
        Ok(FoundingMember {
            id: identity(self.id.as_deref(), &format!("id for {what}"))?,
            name: self.name,
            peer: self.peer,
            http,
            native,
            pb: self.pb,
            zone: self.zone,
            rack: self.rack,
            weight,
        })
    }
}

/// `HOST:PORT` into both; an IPv6 host stands in brackets.
fn split_address(address: &str) -> Result<(&str, u16), String> {
    let refuse =
        || format!("{address:?} is not an address such as 10.0.0.1:8099 or [fd00::1]:8099");
    let (host, port) = address.rsplit_once(':').ok_or_else(refuse)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) || host.contains(char::is_whitespace) {
        return Err(refuse());
    }
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err(refuse()),
    }
}

fn identity<I: FromStr>(text: Option<&str>, what: &str) -> Result<I, FoundingError> {
    let text = text.ok_or_else(|| FoundingError::Undrawn {
        what: what.to_owned(),
    })?;
    text.parse()
        .map_err(|_| refused(what, "an identity is 32 hexadecimal digits"))
}

fn refused(what: &str, problem: &str) -> FoundingError {
    FoundingError::Refused {
        what: what.to_owned(),
        problem: problem.to_owned(),
    }
}

fn read(path: &Path) -> Result<String, FoundingError> {
    std::fs::read_to_string(path).map_err(|error| FoundingError::Read {
        path: path.to_owned(),
        error,
    })
}

fn refuse_exposed(path: &Path) -> Result<(), FoundingError> {
    let metadata = std::fs::metadata(path).map_err(|error| FoundingError::Read {
        path: path.to_owned(),
        error,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_OTHERS == 0 {
        return Ok(());
    }
    Err(FoundingError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0;
        move |bytes| {
            for byte in bytes {
                next += 1;
                *byte = next;
            }
        }
    }

    fn member(name: &str, peer: &str) -> DraftMember {
        DraftMember {
            name: name.to_owned(),
            peer: peer.to_owned(),
            ..DraftMember::default()
        }
    }

    fn two() -> Founding {
        let members = vec![
            member("a", "10.0.0.1:8099"),
            member("b \"q\"", "[::1]:7001"),
        ];
        Founding::draw(members, &mut counting()).expect("two members found a cluster")
    }

    #[test]
    fn drawing_fills_what_is_missing() {
        let founding = two();
        assert_eq!(founding.partitions, PARTITIONS_DEFAULT);
        assert_eq!(founding.target_n, 2);
        assert_eq!(founding.members[0].http, "10.0.0.1:8098");
        assert_eq!(founding.members[1].native, "[::1]:7002");
        assert_eq!(founding.members[0].weight, WEIGHT_DEFAULT);
        assert_ne!(founding.members[0].id, founding.members[1].id);
    }

    #[test]
    fn a_complete_file_round_trips_and_is_not_drawn_again() {
        let founding = two();
        let text = founding.to_toml();
        assert_eq!(Founding::parse(&text).expect("complete"), founding);
        let again = Draft::parse(&text)
            .expect("complete")
            .draw(&mut |_| panic!("nothing is missing"));
        assert_eq!(again.expect("complete"), founding);
    }

    #[test]
    fn the_secret_is_in_the_file_and_nowhere_else() {
        let founding = two();
        let secret = founding.cluster_secret.to_hexadecimal();
        assert!(founding.to_toml().contains(&secret));
        assert!(!format!("{founding:?}").contains(&secret[..8]));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("members.toml");
        std::fs::write(path.with_file_name("members.toml.new"), "leftover").expect("a leftover");
        two().write(&path).expect("written");
        assert_eq!(Founding::load(&path).expect("private"), two());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
        let message = Founding::load(&path).expect_err("exposed").to_string();
        assert!(
            message.contains("0640") && message.contains("chmod 600"),
            "{message}"
        );
        assert!(matches!(
            Draft::load(&path),
            Err(FoundingError::Exposed { .. })
        ));
    }

    #[test]
    fn errors_say_what_to_do() {
        let complete = two().to_toml();
        let check = |text: &str, part: &str| {
            let message = Founding::parse(text).expect_err("refused").to_string();
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        };
        check("", "ringhold cluster init");
        check(
            &complete.replace("cluster_secret", "# "),
            "cluster_secret yet",
        );
        check(
            &complete.replace("partitions = 256", "partitions = 100"),
            "power of two",
        );
        check(
            &complete.replace("partitions = 256", "partitions = 1"),
            "shared by 2",
        );
        for n in ["0", "17"] {
            let text = complete.replace("n_val = 3", &format!("n_val = {n}"));
            check(&text, "between 1 and 16");
        }
        check(
            &complete.replace("target_n = 2", "target_n = 3"),
            "2 members",
        );
        check(&complete.replace("[::1]:7001", "10.0.0.1:8099"), "twice");
        check(
            &complete.replace("[::1]:7001", "::1:7001"),
            "not an address",
        );
        check(&complete.replace("[::1]:7001", "host:0"), "not an address");
        check(&complete.replace("weight = 100", "weight = 0"), "weight 0");
        check(
            &complete.replace("cluster_id = \"", "cluster_id = \"x"),
            "32 hexadecimal",
        );
        check(&complete.replace("rack", "rach"), "rach");
        let nobody = "cluster_id = \"00000000000000000000000000000001\"\ncluster_secret = \"";
        check(&format!("{nobody}{}\"", "ab".repeat(32)), "[[members]]");
    }
}
