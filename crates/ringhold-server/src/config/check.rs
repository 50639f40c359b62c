//! What is well formed and could still only go wrong later.
//!
//! Sizes have a range each, with the reason why nobody wants to leave it; listeners must not get in
//! each other's way, and must not be reachable from other machines where they neither encrypt nor ask who
//! is there (`insecure` takes the responsibility): only nodes among each other do, with `peer_tls`.

use ringhold_wire::handshake::ProtocolRange;
use std::ops::RangeInclusive;

use super::{Config, ConfigError, GIB, MIB};

/// The log's segments may not be smaller: each costs a file and a flush of its folder.
const SEGMENT_BYTES_MIN: u64 = MIB;
/// LMDB reserves address space, not disk; below this a small cluster's first checkpoint fails.
const MAP_SIZE_BYTES_MIN: u64 = 16 * MIB;
/// More writers than this only split the batches that share a flush.
const GROUPS_MAX: u64 = 64;
const THREADS_MAX: u64 = 1_024;
/// The wire carries lengths of keys and names in 16 bits.
const NAME_BYTES_MAX: u64 = u16::MAX as u64;
/// A value is held in memory a few times over while it is replicated.
const VALUE_BYTES_MAX: u64 = 50 * MIB;
/// A century.
const GRACE_S_MAX: u64 = 100 * 366 * 86_400;
/// 49 days: longer timeouts are typing errors.
const TIMEOUT_MS_MAX: u64 = u32::MAX as u64;

impl Config {
    /// Refuses what could only go wrong later.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            let remedy =
                "give the node a name with --name, RINGHOLD_NAME or `name` in the file".to_owned();
            let problem = "it is empty".to_owned();
            return Err(ConfigError::Refused {
                key: "name",
                problem,
                remedy,
            });
        }
        self.check_seeds()?;
        let spoken = ProtocolRange::SPOKEN;
        if self.peer_protocol_max != 0 && !spoken.contains(self.peer_protocol_max) {
            return Err(ConfigError::Refused {
                key: "peer_protocol_max",
                problem: format!("this release speaks the protocols {spoken}"),
                remedy: "name one of them, or 0 for all".to_owned(),
            });
        }
        self.check_exposure()?;
        self.check_ports()?;
        for (key, timeout_ms) in self.timeouts.all() {
            within(
                key,
                timeout_ms,
                1..=TIMEOUT_MS_MAX,
                "name milliseconds, at least one",
            )?;
        }
        self.check_sizes()
    }

    fn check_seeds(&self) -> Result<(), ConfigError> {
        let is_address = |seed: &String| {
            let port = seed
                .rsplit_once(':')
                .map(|(host, port)| (host, port.parse::<u16>()));
            matches!(port, Some((host, Ok(1..))) if !host.is_empty())
        };
        let seeds = self.seed_addresses();
        match seeds.iter().find(|seed| !is_address(seed)) {
            None => Ok(()),
            Some(seed) => Err(ConfigError::Refused {
                key: "seeds",
                problem: format!("{seed:?} is no address"),
                remedy: "name peer listeners as HOST:PORT, between commas".to_owned(),
            }),
        }
    }

    fn check_exposure(&self) -> Result<(), ConfigError> {
        if self.insecure {
            return Ok(());
        }
        for (key, address) in self.listen.all() {
            let for_peers = key == "listen.peer";
            if address.ip().is_loopback() || (for_peers && self.peer_tls_is_on()) {
                continue;
            }
            let (problem, remedy) = if for_peers {
                (
                    "peer_tls is off: whoever sees the network sees the data",
                    "leave peer_tls on, for all members alike, or say --insecure (`insecure = true`) if the \
                     network itself keeps strangers out",
                )
            } else {
                (
                    "this build has neither TLS nor authentication for clients: whoever reaches it reads \
                     and writes everything",
                    "listen on 127.0.0.1, or say --insecure (`insecure = true`) if the network itself keeps \
                     strangers out",
                )
            };
            return Err(ConfigError::Refused {
                key,
                problem: format!("{address} can be reached from other machines, and {problem}"),
                remedy: remedy.to_owned(),
            });
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), ConfigError> {
        let listeners = self.listen.all();
        for (index, (key, address)) in listeners.iter().enumerate() {
            let twin = listeners[..index].iter().find(|(_, other)| {
                let one_is_every_host =
                    other.ip().is_unspecified() || address.ip().is_unspecified();
                let same_host = other.ip() == address.ip() || one_is_every_host;
                // Port 0 asks for any free port.
                address.port() != 0 && other.port() == address.port() && same_host
            });
            if let Some((other, _)) = twin {
                return Err(ConfigError::Refused {
                    key,
                    problem: format!("{address} is taken by {other} already"),
                    remedy: "give each listener a port of its own".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let Self {
            limits,
            storage,
            default_bucket,
            reaping,
            ..
        } = self;
        let any = 1..=u64::MAX;
        let names = 1..=NAME_BYTES_MAX;
        let one_fits = limits.value_bytes..=u64::MAX;
        let segment = SEGMENT_BYTES_MIN..=GIB;
        let map = MAP_SIZE_BYTES_MIN..=u64::MAX;
        let marks = [
            storage.disk_warn_percent,
            storage.disk_refuse_percent,
            storage.disk_deletes_only_percent,
        ]
        .map(u64::from);
        #[rustfmt::skip]
        let sizes = [
            ("limits.value_bytes", limits.value_bytes, 1..=VALUE_BYTES_MAX, "store larger values in pieces"),
            ("limits.key_bytes", limits.key_bytes, names.clone(), "lengths of keys have 16 bits"),
            ("limits.name_bytes", limits.name_bytes, names, "lengths of names have 16 bits"),
            ("limits.siblings", limits.siblings.into(), any.clone(), "a put leaves at least its own version"),
            ("limits.connections", limits.connections.into(), any.clone(), "without one nobody is served"),
            ("limits.requests_in_flight", limits.requests_in_flight.into(), any, "without one nobody is served"),
            ("limits.bytes_in_flight", limits.bytes_in_flight, one_fits, "a value as large as limits.value_bytes must fit"),
            ("storage.segment_bytes", storage.segment_bytes, segment, "smaller ones mean a checkpoint for almost every write, larger ones a slow start"),
            ("storage.map_size_bytes", storage.map_size_bytes, map, "it reserves address space, not disk: give it what the node may ever hold"),
            ("storage.cache_bytes", storage.cache_bytes, MIB..=u64::MAX, "it is memory: a small part of what the machine has"),
            ("threads", self.threads.into(), 0..=THREADS_MAX, "0 for as many as there are cores; more only wait for each other"),
            ("storage.groups", storage.groups.into(), 0..=GROUPS_MAX, "0 chooses by the number of cores"),
            ("reaping.settle_s", reaping.settle_s, 1..=reaping.grace_s.max(1), "it is longer than any request lives, and no longer than the grace"),
            ("reaping.grace_s", reaping.grace_s, 1..=GRACE_S_MAX, "days are usual, seconds are for trying it out"),
            ("reaping.pause_ms", reaping.pause_ms, 0..=TIMEOUT_MS_MAX, "0 for no reaping by this node"),
            ("limits.clock_drift_ms", limits.clock_drift_ms, 1..=TIMEOUT_MS_MAX, "clocks that are set by NTP are within milliseconds of each other"),
            ("storage.disk_warn_percent", marks[0], 1..=marks[1], "the three rise: warn, refuse, deletes_only"),
            ("storage.disk_refuse_percent", marks[1], 1..=marks[2], "the three rise: warn, refuse, deletes_only"),
            ("storage.disk_deletes_only_percent", marks[2], 1..=100, "a disk that is full can't even free itself: leave some room"),
            ("default_bucket.n_val", default_bucket.n_val.into(), 1..=16, "the paper's, and nearly everybody's, is 3"),
        ];
        for (key, value, allowed, remedy) in sizes {
            within(key, value, allowed, remedy)?;
        }
        Ok(())
    }
}

fn within(
    key: &'static str,
    value: u64,
    allowed: RangeInclusive<u64>,
    remedy: &str,
) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let problem = if *allowed.end() == u64::MAX {
        format!("{value} is less than {}", allowed.start())
    } else {
        format!(
            "{value} is not between {} and {}",
            allowed.start(),
            allowed.end()
        )
    };
    Err(ConfigError::Refused {
        key,
        problem,
        remedy: remedy.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn peers_encrypt_where_they_leave_the_machine() {
        let is_on = |settings: &[(&str, &str)]| {
            let config = Config::load(None, std::iter::empty(), &flags(settings));
            config.expect("well formed").peer_tls_is_on()
        };
        assert!(!is_on(&[]));
        assert!(is_on(&[("listen.peer", "10.0.0.1:8099")]));
        assert!(is_on(&[("listen.peer", "0.0.0.0:8099")]));
        assert!(is_on(&[("peer_tls", "on")]));
        assert!(!is_on(&[
            ("listen.peer", "10.0.0.1:8099"),
            ("peer_tls", "off")
        ]));
    }

    #[test]
    fn the_check_refuses_what_could_only_go_wrong_later() {
        let refused = |settings: &[(&str, &str)]| {
            let config =
                Config::load(None, std::iter::empty(), &flags(settings)).expect("well formed");
            match config.check() {
                Err(ConfigError::Refused { key, .. }) => Some(key),
                _ => None,
            }
        };
        assert_eq!(
            refused(&[("listen.http", "0.0.0.0:8098")]),
            Some("listen.http")
        );
        assert_eq!(refused(&[("listen.peer", "[::]:1")]), None);
        assert_eq!(
            refused(&[("listen.peer", "[::]:1"), ("peer_tls", "off")]),
            Some("listen.peer")
        );
        assert_eq!(
            refused(&[
                ("listen.peer", "[::]:1"),
                ("peer_tls", "off"),
                ("insecure", "true")
            ]),
            None
        );
        assert_eq!(
            refused(&[("listen.http", "0.0.0.0:8098"), ("insecure", "true")]),
            None
        );
        assert_eq!(refused(&[("listen.http", "[::1]:8098")]), None);
        assert_eq!(
            refused(&[("listen.native", "127.0.0.1:8098")]),
            Some("listen.native")
        );
        assert_eq!(
            refused(&[
                ("listen.http", "127.0.0.1:0"),
                ("listen.peer", "127.0.0.1:0")
            ]),
            None
        );
        assert_eq!(
            refused(&[("timeouts.request_ms", "0")]),
            Some("timeouts.request_ms")
        );
        assert_eq!(
            refused(&[("limits.bytes_in_flight", "10")]),
            Some("limits.bytes_in_flight")
        );
        assert_eq!(refused(&[("limits.hint_bytes", "0")]), None);
        assert_eq!(
            refused(&[("storage.disk_refuse_percent", "84")]),
            Some("storage.disk_warn_percent")
        );
        assert_eq!(
            refused(&[("storage.disk_deletes_only_percent", "101")]),
            Some("storage.disk_deletes_only_percent")
        );
        assert_eq!(
            refused(&[("storage.segment_bytes", "10")]),
            Some("storage.segment_bytes")
        );
        assert_eq!(
            refused(&[("default_bucket.n_val", "0")]),
            Some("default_bucket.n_val")
        );
        assert_eq!(refused(&[("name", "")]), Some("name"));
    }
}
