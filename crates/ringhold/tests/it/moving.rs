//! Members that are started at other addresses than the ring document has.

use crate::cluster::{Cluster, Member, ringhold};
use crate::joiner::{Serve, three_ports};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};

/// The machine that runs the tests may have little room left; that is not what is tested.
const ON_A_SHARED_DISK: [&str; 2] = [
    "storage.disk_refuse_percent=98",
    "storage.disk_deletes_only_percent=99",
];

/// One of `dev`'s nodes, started by hand at other ports.
struct Moved {
    serve: Serve,
    member: Member,
    peer: String,
}

fn moved(dev: &Cluster, member: &Member, port: u16, seed: Option<&str>) -> Moved {
    let directory = dev.data_dir(member);
    let process = serve(&directory, &member.name, port, seed);
    Moved {
        member: Member {
            name: member.name.clone(),
            pid: i32::try_from(process.id()).expect("a process id"),
            http: format!("127.0.0.1:{}", port - 1),
            native: format!("127.0.0.1:{}", port + 1),
        },
        peer: format!("127.0.0.1:{port}"),
        serve: Serve { process },
    }
}

fn serve(directory: &Path, name: &str, port: u16, seed: Option<&str>) -> Child {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let log = File::create(directory.with_extension("moved.log")).expect("a log");
    ringhold()
        .args(["serve", "--name", name, "--pb", "off", "--data-dir"])
        .arg(directory)
        .args([
            "--http",
            &at(port - 1),
            "--peer",
            &at(port),
            "--native",
            &at(port + 1),
        ])
        .args(seed.iter().flat_map(|seed| ["--seed", seed]))
        .args(
            ON_A_SHARED_DISK
                .iter()
                .flat_map(|setting| ["--set", setting]),
        )
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the binary runs")
}

/// Whether a node reaches everybody, and knows these at these HTTP addresses.
fn knows(at: &Member, others: &[&Member]) -> bool {
    let status = at.json("/ringhold/v1/status");
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let is_at = |other: &Member| {
        members
            .iter()
            .any(|member| member["name"] == *other.name && member["http"] == *other.http)
    };
    !members.is_empty()
        && members.iter().all(|member| member["reachable"] == true)
        && others.iter().all(|other| is_at(other))
}

fn is_everywhere(at: &Member, key: &str) -> bool {
    let path = format!("/buckets/moving/keys/{key}?w=3");
    let answer = at.try_send("PUT", &path, &[("Content-Type", "text/plain")], b"value");
    answer.is_some_and(|answer| answer.status == 204)
}

/// SIGKILL, and until its address is free.
fn kill(dev: &mut Cluster, member: &Member) {
    dev.kill(member);
    let gone = member.clone();
    dev.wait("it is gone", move |_| {
        gone.try_send("GET", "/health/live", &[], b"").is_none()
    });
}

#[test]
fn a_member_that_moves_is_followed_and_remembered_and_all_may_move_with_a_seed() {
    let mut dev = Cluster::start(3);
    dev.wait_until_ready();
    let members = dev.members();
    let [first, second, third] = &members[..] else {
        panic!("three members: {members:?}");
    };
    kill(&mut dev, second);
    let elsewhere = moved(&dev, second, three_ports(), None);
    dev.wait("all have followed it", |_| {
        [first, third, &elsewhere.member]
            .iter()
            .all(|at| knows(at, &[&elsewhere.member]))
    });
    dev.wait("it counts for all quorums", |_| {
        is_everywhere(first, "moved")
    });
    let table = ringhold()
        .args([
            "cluster",
            "members",
            "--at",
            &format!("http://{}", first.http),
        ])
        .output()
        .expect("the binary runs");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains(&elsewhere.peer), "{table}");

    // Whoever starts again knows where it is, and is not told.
    kill(&mut dev, third);
    dev.restart(&third.name);
    dev.wait("it knows it still", |_| knows(third, &[&elsewhere.member]));
    dev.wait("and writes to it", |_| is_everywhere(third, "remembered"));
    let log = fs::read_to_string(dev.data_dir(third).with_extension("log")).expect("a log");
    assert_eq!(log.matches("a member is elsewhere now").count(), 1, "{log}");

    // A whole cluster elsewhere: each is told of one member.
    for member in dev.members() {
        if member.name != second.name {
            kill(&mut dev, &member);
        }
    }
    drop(elsewhere);
    let ports: Vec<u16> = [first, second, third].map(|_| three_ports()).to_vec();
    let seed = format!("127.0.0.1:{}", ports[0]);
    let all: Vec<Moved> = members
        .iter()
        .zip(&ports)
        .map(|(member, port)| moved(&dev, member, *port, Some(&seed)))
        .collect();
    let everybody: Vec<&Member> = all.iter().map(|moved| &moved.member).collect();
    dev.wait("they find each other", |_| {
        everybody.iter().all(|at| knows(at, &everybody))
    });
    for at in everybody {
        let key = format!("all-{}", at.name);
        dev.wait("all count", |_| is_everywhere(at, &key));
        assert_eq!(at.get("/buckets/moving/keys/moved?r=3", &[]).body, "value");
    }
    for mut moved in all {
        assert!(moved.serve.process.try_wait().expect("our child").is_none());
    }
}
