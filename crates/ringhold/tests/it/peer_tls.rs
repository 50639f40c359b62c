//! Nodes that encrypt what they say to each other, and tokens for new ones.

use crate::cluster::{Cluster, Member, ringhold};
use crate::joiner::{Serve, joining, peer_address, three_ports, token};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What has not happened after this time never will.
const PATIENCE: Duration = Duration::from_secs(120);

const ENCRYPTED: [(&str, &str); 1] = [("RINGHOLD_PEER_TLS", "on")];

#[test]
fn nodes_that_encrypt_replicate_and_come_back() {
    let mut cluster = Cluster::start_with(3, &ENCRYPTED);
    cluster.wait_until_ready();
    let members = cluster.members();
    let path = "/buckets/b/keys/k";
    let put = members[0].put(&format!("{path}?w=3"), &[], b"value");
    assert_eq!(put.status, 204, "{put:?}");
    // Larger than a TLS record, and than what is sent in one go.
    let large = vec![b'x'; 3 << 20];
    let put = members[1].put("/buckets/b/keys/large?w=3", &[], &large);
    assert_eq!(put.status, 204, "{put:?}");
    cluster.kill(&members[2]);
    cluster.restart(&members[2].name);
    cluster.wait_until_ready();
    for member in cluster.members() {
        assert_eq!(member.get(&format!("{path}?pr=3"), &[]).body, "value");
        let read = member.get("/buckets/b/keys/large?pr=3", &[]).body;
        assert_eq!(read.len(), large.len());
    }
}

#[test]
fn a_token_that_is_not_the_clusters_lets_nobody_in_and_secrets_are_in_no_log() {
    let mut cluster = Cluster::start_with(1, &ENCRYPTED);
    cluster.wait_until_ready();
    let member = cluster.members()[0].clone();
    let token = token(&member);
    // Its end is moved by a day: the keyed hash is not that of the cluster any more.
    let digits = &token["rhjoin_".len()..];
    let end = u64::from_str_radix(&digits[34..50], 16).expect("hexadecimal digits");
    let altered = format!(
        "rhjoin_{}{:016x}{}",
        &digits[..34],
        end + 86_400,
        &digits[50..]
    );
    let directory = tempfile::tempdir().expect("a directory");
    let peer = peer_address(&cluster);
    let mut refused = Serve {
        process: joining(
            directory.path(),
            ("new", three_ports()),
            "on",
            &peer,
            &altered,
            &[],
        ),
    };
    let ended = refused.process.wait().expect("our child");
    let said = fs::read_to_string(directory.path().join("new.log")).expect("a log");
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("not one of this cluster"), "{said}");

    let data_dir = cluster.data_dir(&member);
    let secret = fs::read_to_string(data_dir.join("secret")).expect("a secret");
    let log = log_of(&data_dir);
    for shown in [&log, &said] {
        assert!(!shown.contains(secret.trim()), "{shown}");
        // The keyed hash, without which the rest of a token is nothing.
        assert!(!shown.contains(&token[token.len() - 32..]), "{shown}");
    }
    assert!(log.contains("a caller was turned away"), "{log}");
}

#[test]
fn a_new_node_joins_with_a_token_that_nobody_else_can_use() {
    for settings in [&ENCRYPTED[..], &[]] {
        let mode = settings.first().map_or("off", |(_, mode)| mode);
        let mut cluster = Cluster::start_with(3, settings);
        cluster.wait_until_ready();
        let member = cluster.members()[0].clone();
        let (token, peer) = (token(&member), peer_address(&cluster));
        let directory = tempfile::tempdir().expect("a directory");
        let new = ("new", three_ports());
        // Started twice: what was done once is not done again.
        for _ in 0..2 {
            let joined = Serve {
                process: joining(directory.path(), new, mode, &peer, &token, &[]),
            };
            let http = format!("127.0.0.1:{}", new.1 - 1);
            let native = format!("127.0.0.1:{}", new.1 + 1);
            let itself = Member {
                name: new.0.to_owned(),
                pid: 0,
                http,
                native,
            };
            cluster.wait("the new node is ready, and known", |_| {
                let status = member.json("/ringhold/v1/status");
                let members = status["members"].as_array().cloned().unwrap_or_default();
                let ready = itself.try_send("GET", "/health/ready", &[], b"");
                ready.is_some_and(|ready| ready.status == 200)
                    && members.iter().any(|member| member["name"] == "new")
            });
            drop(joined);
        }
        let other = tempfile::tempdir().expect("a directory");
        let mut refused = Serve {
            process: joining(
                other.path(),
                ("other", three_ports()),
                mode,
                &peer,
                &token,
                &[],
            ),
        };
        let ended = refused.process.wait().expect("our child");
        let said = fs::read_to_string(other.path().join("other.log")).expect("a log");
        assert_eq!(ended.code(), Some(1), "{said}");
        assert!(
            said.contains("another node has joined with this token"),
            "{said}"
        );
        let secret = fs::read_to_string(directory.path().join("new/secret")).expect("a secret");
        for log in [
            fs::read_to_string(directory.path().join("new.log")).expect("a log"),
            log_of(&cluster.data_dir(&member)),
            said,
        ] {
            assert!(!log.contains(secret.trim()), "{log}");
            assert!(!log.contains(&token[token.len() - 32..]), "{log}");
        }
    }
}

#[test]
fn two_nodes_that_differ_in_peer_tls_both_say_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let founding = directory.path().join("members.toml");
    let init = ringhold()
        .args(["cluster", "init", "--founding"])
        .arg(&founding)
        .args(["--member", &format!("a=127.0.0.1:{}", three_ports())])
        .args(["--member", &format!("b=127.0.0.1:{}", three_ports())])
        .stdout(Stdio::null())
        .status();
    assert!(init.expect("the binary runs").success());
    let nodes = [("a", "on"), ("b", "off")].map(|(name, mode)| Serve {
        process: serve(directory.path(), &founding, name, mode),
    });
    // Each dials the other, and each is dialled.
    let texts = [
        ("a", "`peer_tls` is on at the node"),
        ("a", "`peer_tls` is on here"),
        ("b", "`peer_tls` is off at the node"),
        ("b", "turned away: `peer_tls` is on at the node"),
    ];
    for (name, text) in texts {
        let log = directory.path().join(format!("{name}.log"));
        let started = Instant::now();
        while !fs::read_to_string(&log).unwrap_or_default().contains(text) {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "{text:?} not in {}", said());
            std::thread::yield_now();
        }
    }
    drop(nodes);
}

/// Strangers who say nothing hold a place each until their time is up, and there are few places.
#[test]
fn too_many_strangers_are_refused_while_the_first_still_wait() {
    let mut cluster = Cluster::start_with(1, &ENCRYPTED);
    cluster.wait_until_ready();
    let peer = peer_address(&cluster);
    let is_closed = |stranger: &TcpStream| {
        let mut byte = [0];
        stranger.set_nonblocking(true).expect("it is open here");
        match (&mut &*stranger).read(&mut byte) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    };
    // A machine that is slow enough lets the first one's time run out: then once more.
    let is_refused_early = || {
        let strangers: Vec<TcpStream> = (0..200)
            .map(|_| TcpStream::connect(&peer).expect("it listens"))
            .collect();
        let last = strangers.last().expect("there are some");
        let started = Instant::now();
        while !is_closed(last) {
            assert!(
                started.elapsed() < PATIENCE,
                "the last stranger is still connected"
            );
            std::thread::yield_now();
        }
        !is_closed(&strangers[0])
    };
    assert!((0..10).any(|_| is_refused_early()), "they all had a place");
}

fn serve(directory: &Path, founding: &Path, name: &str, mode: &str) -> Child {
    let log = File::create(directory.join(format!("{name}.log"))).expect("a log");
    ringhold()
        .args(["serve", "--name", name, "--pb", "off"])
        .args(["--peer-tls", mode, "--founding"])
        .arg(founding)
        .arg("--data-dir")
        .arg(directory.join(name))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the binary runs")
}

/// What `dev` wrote of a node beside its directory.
fn log_of(data_dir: &Path) -> String {
    let log = data_dir.with_extension("log");
    fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()))
}
