//! One object by both of Riak's APIs: what is written by the one is read, updated and deleted by the other.

use crate::cluster::Cluster;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message;
use ringhold_wire::riak::{
    Content, CounterResp, CounterUpdateReq, CoverageEntry, CoverageReq, CoverageResp, DelReq,
    GetReq, GetResp, IndexReq, IndexResp, Pair, PutReq, PutResp,
};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

struct Client(TcpStream);

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a socket");
        Self(stream)
    }

    fn ask<M: Message + Default>(&mut self, code: u8, message: &impl Message) -> M {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len() + 1).expect("a small message");
        let frame = [&length.to_be_bytes()[..], &[code], &message].concat();
        self.0.write_all(&frame).expect("it listens");
        let mut head = [0; 5];
        self.0.read_exact(&mut head).expect("an answer");
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let mut answer = vec![0; usize::try_from(length).expect("a small message") - 1];
        self.0.read_exact(&mut answer).expect("all of it");
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(head[4], code + 1, "{said}");
        M::decode(&answer[..]).expect("it is that message")
    }
}

fn get() -> GetReq {
    GetReq {
        bucket: Bytes::from("both"),
        key: Bytes::from("k"),
        ..GetReq::default()
    }
}

fn put(value: &'static str, vclock: Option<Bytes>) -> PutReq {
    PutReq {
        bucket: Bytes::from("both"),
        key: Some(Bytes::from("k")),
        vclock,
        content: Content {
            value: Bytes::from(value),
            content_type: Some(Bytes::from("text/plain")),
            usermeta: vec![Pair {
                key: Bytes::from("color"),
                value: Some(Bytes::from("red")),
            }],
            ..Content::default()
        },
        ..PutReq::default()
    }
}

#[test]
fn both_apis_of_riak_read_and_update_each_others_objects() {
    const PATH: &str = "/buckets/both/keys/k";
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let json = cluster.description();
    let address = json["nodes"][0]["pb"].as_str().expect("dev says where");
    let mut client = Client::connect(address);

    assert_eq!(client.ask::<GetResp>(9, &get()), GetResp::default());
    client.ask::<PutResp>(11, &put("by frames", None));
    let read = members[1].get(PATH, &[]);
    assert_eq!((read.status, &*read.body), (200, "by frames"));
    assert_eq!(read.header("X-Riak-Meta-color"), Some("red"));

    let vclock = read.header("X-Riak-Vclock").expect("a context").to_owned();
    let update = [("X-Riak-Vclock", &*vclock), ("X-Riak-Meta-Size", "2")];
    assert_eq!(members[2].put(PATH, &update, b"by HTTP").status, 204);
    let got: GetResp = client.ask(9, &get());
    let values: Vec<&[u8]> = got.content.iter().map(|content| &*content.value).collect();
    assert_eq!(values, [b"by HTTP"], "it replaced what it had seen");
    assert_eq!(&*got.content[0].usermeta[0].key, b"size");
    // The same bytes name the same state at either door.
    let vclock = got.vclock.expect("a context");
    let read = members[0].get(PATH, &[]);
    assert_eq!(
        read.header("X-Riak-Vclock"),
        Some(&*STANDARD.encode(&vclock))
    );

    client.ask::<PutResp>(11, &put("again by frames", Some(vclock)));
    assert_eq!(members[1].get(PATH, &[]).body, "again by frames");
    let delete = DelReq {
        bucket: Bytes::from("both"),
        key: Bytes::from("k"),
        ..DelReq::default()
    };
    client.ask::<GetResp>(13, &delete);
    assert_eq!(members[2].get(PATH, &[]).status, 404);
}

#[test]
fn a_counter_counts_what_came_by_either_api_and_node() {
    const PATH: &str = "/buckets/both/counters/c";
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let json = cluster.description();
    let address = json["nodes"][0]["pb"].as_str().expect("dev says where");
    let mut client = Client::connect(address);
    for (at, member) in members.iter().enumerate() {
        let answer = member.try_send("POST", PATH, &[], format!("{}", at + 1).as_bytes());
        assert_eq!(answer.map(|answer| answer.status), Some(204));
    }
    let add = CounterUpdateReq {
        bucket: Bytes::from("both"),
        key: Bytes::from("c"),
        amount: -10,
        returnvalue: Some(true),
        ..CounterUpdateReq::default()
    };
    let sum: CounterResp = client.ask(50, &add);
    assert_eq!(sum.value, Some(-4));
    assert_eq!(members[2].get(PATH, &[]).body, "-4");
    let plain = members[1].get("/buckets/both/keys/c", &[]);
    assert_eq!(
        plain.header("Content-Type"),
        Some("application/riak_counter")
    );
    // What was deleted counts no more.
    let deleted = members[1].try_send("DELETE", "/buckets/both/keys/c", &[], b"");
    assert_eq!(deleted.map(|answer| answer.status), Some(204));
    let sum: CounterResp = client.ask(50, &add);
    assert_eq!(sum.value, Some(-10));
}

#[test]
fn the_nodes_of_a_coverage_plan_have_each_key_once() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let json = cluster.description();
    let address = json["nodes"][0]["pb"].as_str().expect("dev says where");
    let mut client = Client::connect(address);
    let keys: Vec<String> = (100..200).map(|number| format!("k{number}")).collect();
    for key in &keys {
        let mut message = put("value", None);
        message.key = Some(Bytes::from(key.clone()));
        client.ask::<PutResp>(11, &message);
    }
    let asked = CoverageReq {
        bucket: Bytes::from("both"),
        ..CoverageReq::default()
    };
    let door_of = |entry: &CoverageEntry| {
        let ip = String::from_utf8_lossy(&entry.ip).into_owned();
        format!("{ip}:{}", entry.port)
    };
    let mut plan = CoverageResp::default();
    cluster.wait("every node has a part of the plan", |_| {
        plan = client.ask(70, &asked);
        let doors: BTreeSet<String> = plan.entries.iter().map(door_of).collect();
        doors.len() == 3
    });
    let mut found = Vec::new();
    for entry in plan.entries {
        let door = door_of(&entry);
        let all = IndexReq {
            bucket: Bytes::from("both"),
            index: Bytes::from("$bucket"),
            key: Some(Bytes::from("both")),
            cover_context: Some(entry.cover_context),
            ..IndexReq::default()
        };
        let some: IndexResp = Client::connect(&door).ask(25, &all);
        found.extend(some.keys);
    }
    found.sort();
    assert_eq!(found, keys, "each once");
}
