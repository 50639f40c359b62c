//! The Protocol Buffers API as it is spoken: frames into a real connection, and what comes back.

use crate::http::limits;
use crate::http_door::{Failure, FakeDoor};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use ringhold_core::quorum::{Requirement, Shortfall};
use ringhold_server::edge::{Capacity, Limits};
use ringhold_server::pb::Edge;
use ringhold_wire::message::{GetError, PutError, Rejection};
use ringhold_wire::riak::{
    BucketProps, ClientId, Content, CsBucketReq, DelReq, ErrorResp, GetBucketReq, GetBucketResp,
    GetBucketTypeReq, GetReq, GetResp, IndexBodyResp, IndexQueryType, IndexReq, IndexResp, Link,
    ListBucketsReq, ListBucketsResp, ListKeysReq, ListKeysResp, Pair, PreflistReq, PreflistResp,
    PutReq, PutResp, ResetBucketReq, ServerInfoResp, SetBucketReq, symbolic,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const GET: u8 = 9;
const PUT: u8 = 11;
const DELETE: u8 = 13;
const GET_BUCKET: u8 = 19;
const SET_BUCKET: u8 = 21;
const RESET_BUCKET: u8 = 29;
const GET_BUCKET_TYPE: u8 = 31;

/// A client's end of a connection.
pub(crate) struct Client {
    stream: DuplexStream,
    door: FakeDoor,
}

impl Client {
    pub(crate) fn connect() -> Self {
        Self::within(limits())
    }

    pub(crate) fn within(limits: Limits) -> Self {
        let door = FakeDoor::new();
        let edge = Edge::within(door.clone(), limits, Capacity::of(&limits));
        let (stream, server) = duplex(1 << 20);
        tokio::spawn(edge.serve_connection(server, std::future::pending()));
        Self { stream, door }
    }

    pub(crate) async fn send(&mut self, code: u8, message: &impl Message) {
        let bytes = message.encode_to_vec();
        let mut frame = BytesMut::new();
        frame.put_u32(u32::try_from(bytes.len() + 1).expect("a small message"));
        frame.put_u8(code);
        frame.put_slice(&bytes);
        self.stream.write_all(&frame).await.expect("it listens");
    }

    pub(crate) async fn receive(&mut self) -> (u8, Bytes) {
        let length = self.stream.read_u32().await.expect("a frame");
        let mut frame = vec![0; usize::try_from(length).expect("a small message")];
        self.stream.read_exact(&mut frame).await.expect("all of it");
        let mut frame = Bytes::from(frame);
        let code = frame.split_to(1)[0];
        (code, frame)
    }

    pub(crate) async fn ask(&mut self, code: u8, message: &impl Message) -> (u8, Bytes) {
        self.send(code, message).await;
        self.receive().await
    }

    pub(crate) async fn answer<M: Message + Default>(
        &mut self,
        code: u8,
        message: &impl Message,
    ) -> M {
        let (answered, bytes) = self.ask(code, message).await;
        let expected = if code == GET_BUCKET_TYPE {
            20
        } else {
            code + 1
        };
        assert_eq!(answered, expected, "{:?}", ErrorResp::decode(bytes));
        M::decode(bytes).expect("it is that message")
    }

    pub(crate) async fn error(&mut self, code: u8, message: &impl Message) -> String {
        let (answered, bytes) = self.ask(code, message).await;
        assert_eq!(answered, 0, "not an error");
        let error = ErrorResp::decode(bytes).expect("it is an error");
        assert_eq!(error.errcode, 0);
        String::from_utf8(error.errmsg.to_vec()).expect("a text")
    }

    async fn get(&mut self, key: &'static str) -> GetResp {
        self.answer(GET, &get(key)).await
    }

    async fn put(&mut self, message: PutReq) -> PutResp {
        self.answer(PUT, &message).await
    }

    pub(crate) async fn set_props(&mut self, props: BucketProps) {
        let message = SetBucketReq {
            bucket: Bytes::from("b"),
            props,
            r#type: None,
        };
        let (code, rest) = self.ask(SET_BUCKET, &message).await;
        assert_eq!((code, rest.len()), (22, 0));
    }
}

fn pair(key: &'static str, value: &'static str) -> Pair {
    Pair {
        key: Bytes::from(key),
        value: Some(Bytes::from(value)),
    }
}

fn get(key: &'static str) -> GetReq {
    GetReq {
        bucket: Bytes::from("b"),
        key: Bytes::from(key),
        ..GetReq::default()
    }
}

pub(crate) fn put(key: &'static str, value: &'static str) -> PutReq {
    PutReq {
        bucket: Bytes::from("b"),
        key: Some(Bytes::from(key)),
        content: Content {
            value: Bytes::from(value),
            content_type: Some(Bytes::from("text/plain")),
            ..Content::default()
        },
        ..PutReq::default()
    }
}

fn delete(key: &'static str, vclock: Option<Bytes>) -> DelReq {
    DelReq {
        bucket: Bytes::from("b"),
        key: Bytes::from(key),
        vclock,
        ..DelReq::default()
    }
}

fn values(contents: &[Content]) -> Vec<&[u8]> {
    contents.iter().map(|content| &content.value[..]).collect()
}

#[tokio::test]
async fn a_connection_begins_with_who_is_there() {
    let mut client = Client::connect();
    assert_eq!(client.ask(1, &GetReq::default()).await, (2, Bytes::new()));
    let info: ServerInfoResp = client.answer(7, &GetReq::default()).await;
    assert_eq!(info.server_version.as_deref(), Some(&b"3.2.3"[..]));
    assert_eq!(info.node.as_deref(), Some(&b"node 1"[..]));
    let id = ClientId {
        client_id: Bytes::from_static(b"\0\0\0\x01"),
    };
    assert_eq!(client.ask(5, &id).await, (6, Bytes::new()));
    assert_eq!(client.answer::<ClientId>(3, &GetReq::default()).await, id);
}

#[tokio::test]
async fn what_is_not_there_is_an_empty_answer_and_no_error() {
    let mut client = Client::connect();
    let empty = client.ask(GET, &get("nothing")).await;
    assert_eq!(empty, (10, Bytes::new()), "the code alone");
    let deleted = client.ask(DELETE, &delete("nothing", None)).await;
    assert_eq!(deleted, (14, Bytes::new()));
}

#[tokio::test]
async fn an_object_comes_back_with_all_that_was_said_of_it() {
    let mut client = Client::connect();
    let mut message = put("k", "two oranges");
    message.content.charset = Some(Bytes::from("utf-8"));
    message.content.usermeta = vec![pair("X-Riak-Meta-Color", "red"), pair("size", "2")];
    message.content.indexes = vec![pair("fruit_bin", "orange")];
    message.content.links = vec![Link {
        bucket: Some(Bytes::from("b")),
        key: Some(Bytes::from("other")),
        tag: Some(Bytes::from("next")),
    }];
    assert_eq!(client.put(message.clone()).await, PutResp::default());
    let got = client.get("k").await;
    let content = got.content[0].clone();
    assert!(content.vtag.is_some() && content.last_mod > Some(1_420_000_000));
    let said = Content {
        vtag: None,
        last_mod: None,
        last_mod_usecs: None,
        ..content
    };
    assert_eq!(said, message.content);

    // Written with its context, it replaces what was there; and says so at once if asked.
    let mut second = put("k", "three");
    second.vclock = got.vclock.clone();
    second.return_body = Some(true);
    let stored = client.put(second).await;
    assert_eq!(values(&stored.content), [b"three"]);
    assert!(stored.vclock.is_some() && stored.vclock != got.vclock);
    assert_eq!(values(&client.get("k").await.content), [b"three"]);
}

#[tokio::test]
async fn blind_writes_are_siblings_until_one_has_seen_them() {
    let mut client = Client::connect();
    for _ in 0..2 {
        client.put(put("k", "same")).await;
    }
    let both = client.get("k").await;
    assert_eq!(values(&both.content), [b"same", b"same"]);
    assert_ne!(both.content[0].vtag, both.content[1].vtag);
    let mut resolved = put("k", "one");
    resolved.vclock = both.vclock.clone();
    client.put(resolved).await;
    assert_eq!(values(&client.get("k").await.content), [b"one"]);
    // A delete that has seen less leaves what it has not seen, with the tombstone beside it.
    let deleted = client.ask(DELETE, &delete("k", both.vclock)).await;
    assert_eq!(deleted, (14, Bytes::new()));
    let left = client.get("k").await;
    let dead = left.content.iter().filter(|it| it.deleted == Some(true));
    assert_eq!((left.content.len(), dead.count()), (2, 1));
}

#[tokio::test]
async fn a_deleted_object_keeps_its_context_for_who_asks() {
    let mut client = Client::connect();
    client.put(put("k", "gone soon")).await;
    client.ask(DELETE, &delete("k", None)).await;
    assert_eq!(client.get("k").await, GetResp::default());
    let mut with_context = get("k");
    with_context.deletedvclock = Some(true);
    let tombstone: GetResp = client.answer(GET, &with_context).await;
    assert!(tombstone.content.is_empty() && tombstone.vclock.is_some());
    let mut again = put("k", "back");
    again.vclock = tombstone.vclock;
    client.put(again).await;
    assert_eq!(values(&client.get("k").await.content), [b"back"]);
}

#[tokio::test]
async fn heads_have_no_values_and_the_unchanged_is_not_sent_again() {
    let mut client = Client::connect();
    let mut message = put("k", "large");
    message.return_head = Some(true);
    let stored = client.put(message).await;
    assert_eq!(values(&stored.content), [b""]);
    let mut head = get("k");
    head.head = Some(true);
    let head: GetResp = client.answer(GET, &head).await;
    assert_eq!(values(&head.content), [b""]);
    assert_eq!(
        head.content[0].content_type.as_deref(),
        Some(&b"text/plain"[..])
    );
    let mut unchanged = get("k");
    unchanged.if_modified = head.vclock.clone();
    let answer: GetResp = client.answer(GET, &unchanged).await;
    assert_eq!((answer.unchanged, answer.content.len()), (Some(true), 0));
    client.put(put("k", "another")).await;
    let answer: GetResp = client.answer(GET, &unchanged).await;
    assert_eq!((answer.unchanged, answer.content.len()), (None, 2));
}

#[tokio::test]
async fn a_key_is_made_up_where_none_is_given() {
    let mut client = Client::connect();
    let mut message = put("", "value");
    message.key = None;
    let key = client.put(message).await.key.expect("a key");
    assert!(key.len() > 20);
    let mut asked = get("");
    asked.key = key;
    let got: GetResp = client.answer(GET, &asked).await;
    assert_eq!(values(&got.content), [b"value"]);
}

#[tokio::test]
async fn conditions_hold_or_say_what_is_in_the_way() {
    let mut client = Client::connect();
    let mut first = put("k", "first");
    first.if_none_match = Some(true);
    client.put(first.clone()).await;
    assert_eq!(client.error(PUT, &first).await, "match_found");
    let before = client.get("k").await.vclock;
    let mut update = put("k", "second");
    (update.if_not_modified, update.vclock) = (Some(true), before);
    client.put(update.clone()).await;
    assert_eq!(client.error(PUT, &update).await, "modified");
    let mut missing = put("missing", "x");
    missing.if_not_modified = Some(true);
    assert_eq!(client.error(PUT, &missing).await, "notfound");
    assert_eq!(values(&client.get("k").await.content), [b"second"]);
    // Between the look and the write somebody else was faster.
    let modified = || Failure::Put(PutError::Rejected(Rejection::Modified));
    client.door.fail_next(modified());
    let mut new = put("new", "x");
    new.if_none_match = Some(true);
    assert_eq!(client.error(PUT, &new).await, "match_found");
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_the_connection_goes_on() {
    let mut client = Client::connect();
    let mut nameless = get("k");
    nameless.bucket = Bytes::new();
    let error = client.error(GET, &nameless).await;
    assert_eq!(error, "Bucket cannot be zero-length");
    assert_eq!(
        client.error(GET, &get("")).await,
        "Key cannot be zero-length"
    );
    let mut typed = get("k");
    typed.r#type = Some(Bytes::new());
    assert_eq!(
        client.error(GET, &typed).await,
        "Type cannot be zero-length"
    );
    typed.r#type = Some(Bytes::from("unheard-of"));
    let error = client.error(GET, &typed).await;
    assert_eq!(error, "No bucket-type named 'unheard-of'");
    let mut forged = put("k", "v");
    forged.vclock = Some(Bytes::from("forged"));
    assert_eq!(client.error(PUT, &forged).await, "Invalid vclock");
    let error = client.error(27, &GetReq::default()).await;
    assert_eq!(error, "Unknown message code: 27");
    let error = client.error(255, &GetReq::default()).await;
    assert_eq!(error, "Security not enabled; STARTTLS not allowed.");
    let mut many = get("k");
    many.r = Some(symbolic::ALL);
    client
        .door
        .fail_next(Failure::Get(GetError::QuorumNotMet(Shortfall {
            requirement: Requirement::R,
            required: 3,
            obtained: 1,
        })));
    assert_eq!(client.error(GET, &many).await, "{r_val_unsatisfied,3,1}");
    // Bytes that are not the message that the code announces.
    client
        .stream
        .write_all(b"\0\0\0\x03\x09\xff\xff")
        .await
        .expect("it listens");
    assert_eq!(client.receive().await.0, 0);
    assert_eq!(client.ask(1, &GetReq::default()).await, (2, Bytes::new()));
    assert_eq!(client.door.keys(), 0, "nothing was written");
}

#[tokio::test]
async fn a_value_above_the_limit_is_refused_and_a_frame_above_it_ends_the_connection() {
    let mut client = Client::connect();
    let mut message = put("k", "");
    message.content.value = Bytes::from(vec![0; 1_001]);
    assert_eq!(client.error(PUT, &message).await, "{too_large,1001}");
    client
        .stream
        .write_all(&u32::MAX.to_be_bytes())
        .await
        .expect("it listens");
    client.stream.write_all(&[PUT]).await.expect("it listens");
    let (code, error) = client.receive().await;
    assert_eq!(code, 0, "{error:?}");
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.expect("it ends");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn who_finds_no_room_is_told_so_and_may_try_again() {
    let crowded = Limits {
        bytes_in_flight: 2_048,
        ..limits()
    };
    let mut client = Client::within(crowded);
    let mut message = put("k", "v");
    // Links count for the frame, not for the value.
    let link = Link {
        bucket: Some(Bytes::from(vec![b'b'; 3_000])),
        ..Link::default()
    };
    message.content.links = vec![link];
    assert_eq!(client.error(PUT, &message).await, "overload");
    client.put(put("k", "v")).await;
}

#[tokio::test]
async fn properties_are_shown_changed_and_taken_back() {
    let mut client = Client::connect();
    let of_bucket = GetBucketReq {
        bucket: Bytes::from("b"),
        r#type: None,
    };
    let before: GetBucketResp = client.answer(GET_BUCKET, &of_bucket).await;
    assert_eq!(before.props.r, Some(symbolic::QUORUM));
    assert_eq!((before.props.n_val, before.props.pw), (Some(3), Some(0)));
    client
        .set_props(BucketProps {
            allow_mult: Some(false),
            w: Some(symbolic::ALL),
            r: Some(1),
            ..BucketProps::default()
        })
        .await;
    let after: GetBucketResp = client.answer(GET_BUCKET, &of_bucket).await;
    assert_eq!(after.props.w, Some(symbolic::ALL));
    assert_eq!(
        (after.props.r, after.props.allow_mult),
        (Some(1), Some(false))
    );
    let wrong = SetBucketReq {
        bucket: Bytes::from("b"),
        props: BucketProps {
            datatype: Some(Bytes::from("set")),
            ..BucketProps::default()
        },
        r#type: None,
    };
    let error = client.error(SET_BUCKET, &wrong).await;
    assert_eq!(
        error,
        "Invalid bucket properties: [{datatype,`datatype` must not be defined.}]"
    );
    let reset = ResetBucketReq {
        bucket: Bytes::from("b"),
        r#type: None,
    };
    assert_eq!(client.ask(RESET_BUCKET, &reset).await, (30, Bytes::new()));
    let again: GetBucketResp = client.answer(GET_BUCKET, &of_bucket).await;
    assert_eq!(again, before);
    let of_type = |name: &'static str| GetBucketTypeReq {
        r#type: Bytes::from(name),
    };
    let default: GetBucketResp = client.answer(GET_BUCKET_TYPE, &of_type("default")).await;
    assert_eq!(default, before);
    let error = client.error(GET_BUCKET_TYPE, &of_type("x")).await;
    assert_eq!(error, "Invalid bucket type: <<\"x\">>");
}

#[tokio::test]
async fn requests_that_were_sent_ahead_are_answered_in_order() {
    let mut client = Client::connect();
    client.send(PUT, &put("k", "v")).await;
    client.send(GET, &get("k")).await;
    client.send(1, &GetReq::default()).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(client.receive().await.0);
    }
    assert_eq!(codes, [12, 10, 2]);
}

#[tokio::test]
async fn where_the_replicas_of_a_key_are() {
    let mut client = Client::connect();
    let mut asked = PreflistReq {
        bucket: Bytes::from("b"),
        key: Bytes::from("k"),
        r#type: None,
    };
    let list: PreflistResp = client.answer(33, &asked).await;
    let told: Vec<_> = list
        .preflist
        .iter()
        .map(|item| (item.partition, &*item.node, item.primary))
        .collect();
    assert_eq!(
        told,
        [
            (12, &b"node1"[..], true),
            (12, b"node2", true),
            (12, b"node3", false),
        ]
    );
    asked.r#type = Some(Bytes::from("t"));
    let refused = client.error(33, &asked).await;
    assert_eq!(refused, "No bucket-type named 't'");
    asked.key = Bytes::new();
    let refused = client.error(33, &asked).await;
    assert_eq!(refused, "Key cannot be zero-length");
}

/// Puts a few values with entries.
async fn put_indexed(client: &mut Client) {
    for (key, age) in [
        ("a", "9"),
        ("b", "10"),
        ("c", "9"),
        ("d", "123456789012345678901"),
    ] {
        let index = Pair {
            key: "Age_int".into(),
            value: Some(age.into()),
        };
        let message = PutReq {
            bucket: "b".into(),
            key: Some(key.into()),
            content: Content {
                value: key.into(),
                indexes: vec![index],
                ..Content::default()
            },
            ..PutReq::default()
        };
        client.send(PUT, &message).await;
        assert_eq!(client.receive().await.0, 12);
    }
}

fn range(first: &'static str, last: &'static str) -> IndexReq {
    IndexReq {
        bucket: "b".into(),
        index: "age_int".into(),
        qtype: IndexQueryType::Range.into(),
        range_min: Some(first.into()),
        range_max: Some(last.into()),
        ..IndexReq::default()
    }
}

async fn indexed(client: &mut Client, message: &IndexReq) -> IndexResp {
    client.send(25, message).await;
    let (code, bytes) = client.receive().await;
    assert_eq!(code, 26, "{bytes:?}");
    IndexResp::decode(bytes).expect("an index answer")
}

#[tokio::test]
async fn keys_come_in_frames_and_the_last_says_so() {
    let mut client = Client::connect();
    put_indexed(&mut client).await;
    let message = ListKeysReq {
        bucket: "b".into(),
        ..ListKeysReq::default()
    };
    client.send(17, &message).await;
    let mut keys = Vec::new();
    loop {
        let (code, bytes) = client.receive().await;
        assert_eq!(code, 18);
        let frame = ListKeysResp::decode(bytes).expect("keys");
        keys.extend(frame.keys);
        if frame.done == Some(true) {
            break;
        }
    }
    assert_eq!(keys, ["a", "b", "c", "d"]);
    client.send(15, &ListBucketsReq::default()).await;
    let (code, bytes) = client.receive().await;
    let frame = ListBucketsResp::decode(bytes).expect("buckets");
    assert_eq!((code, frame.done), (16, None));
    assert_eq!(frame.buckets, ["b"]);
}

#[tokio::test]
async fn an_index_is_paged_through() {
    let mut client = Client::connect();
    put_indexed(&mut client).await;
    let mut message = IndexReq {
        return_terms: Some(true),
        max_results: Some(2),
        ..range("9", "123456789012345678901")
    };
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let answer = indexed(&mut client, &message).await;
        assert_eq!(answer.done, None);
        pages += 1;
        let pairs = answer.results.into_iter();
        found.extend(pairs.map(|pair| (pair.key, pair.value.expect("a key"))));
        match answer.continuation {
            Some(token) => message.continuation = Some(token),
            None => break,
        }
    }
    let expected = [
        ("9", "a"),
        ("9", "c"),
        ("10", "b"),
        ("123456789012345678901", "d"),
    ];
    assert_eq!(
        found,
        expected.map(|(term, key)| (Bytes::from(term), Bytes::from(key)))
    );
    assert_eq!(pages, 3, "a full last page yields one more");
    let equal = IndexReq {
        qtype: IndexQueryType::Eq.into(),
        key: Some("9".into()),
        return_terms: Some(true),
        ..range("", "")
    };
    let answer = indexed(&mut client, &equal).await;
    assert_eq!((answer.keys.len(), answer.results.len()), (2, 0));
}

#[tokio::test]
async fn objects_come_with_their_keys() {
    let mut client = Client::connect();
    put_indexed(&mut client).await;
    let message = IndexReq {
        index: "$key".into(),
        return_body: Some(true),
        ..range("b", "c")
    };
    client.send(25, &message).await;
    let (code, bytes) = client.receive().await;
    let body = IndexBodyResp::decode(bytes).expect("objects");
    assert_eq!(code, 42);
    let values = body
        .objects
        .iter()
        .map(|object| &object.object.content[0].value);
    assert_eq!(values.collect::<Vec<_>>(), ["b", "c"]);
    let message = CsBucketReq {
        bucket: "b".into(),
        start_key: "a".into(),
        end_key: Some("c".into()),
        start_incl: Some(false),
        ..CsBucketReq::default()
    };
    client.send(40, &message).await;
    let mut keys = Vec::new();
    loop {
        let (code, bytes) = client.receive().await;
        assert_eq!(code, 41);
        let body = IndexBodyResp::decode(bytes).expect("objects");
        keys.extend(body.objects.into_iter().map(|object| object.key));
        if body.done == Some(true) {
            break;
        }
    }
    assert_eq!(keys, ["b"]);
}

#[tokio::test]
async fn what_is_no_query_or_not_whole_is_refused() {
    let mut client = Client::connect();
    let refused = [
        (
            IndexReq {
                range_min: None,
                ..range("", "z")
            },
            "Invalid range query: undefined -> z",
        ),
        (range("10", "9"), "Invalid range query: 10 -> 9"),
        (
            IndexReq {
                term_regex: Some("x".into()),
                ..range("1", "2")
            },
            "Can not use term regular expression in integer query",
        ),
        (
            IndexReq {
                qtype: IndexQueryType::Eq.into(),
                ..range("", "")
            },
            "Invalid equality query undefined",
        ),
        (
            IndexReq {
                r#type: Some("none".into()),
                ..range("1", "2")
            },
            "No bucket-type named 'none'",
        ),
    ];
    for (message, text) in refused {
        client.send(25, &message).await;
        let (code, bytes) = client.receive().await;
        assert_eq!(code, 0, "{text}");
        assert_eq!(ErrorResp::decode(bytes).expect("an error").errmsg, text);
    }
    client.door.miss(&[1, 2, 3]);
    client.send(25, &range("1", "2")).await;
    let (_, bytes) = client.receive().await;
    let error = ErrorResp::decode(bytes).expect("an error");
    assert_eq!(error.errmsg, "{insufficient_vnodes,61,need,64}");
    client.send(25, &range("2", "1")).await;
    assert_eq!(client.receive().await.0, 0, "the connection goes on");
}

#[tokio::test]
async fn index_entries_that_are_none_are_refused_all_at_once() {
    let mut client = Client::connect();
    let mut message = put("k", "v");
    message.content.indexes = vec![
        pair("colour", "red"),
        pair("Age_INT", "young"),
        pair("age_int", "-7"),
    ];
    let error = client.error(PUT, &message).await;
    let reasons = "{field_parsing_failed,{<<\"age_int\">>,<<\"young\">>}},{unknown_field_type,<<\"colour\">>}";
    assert_eq!(error, format!("{{precommit_fail,[{reasons}]}}"));
    assert_eq!(
        client.get("k").await,
        GetResp::default(),
        "nothing was stored"
    );
    message.content.indexes = vec![pair("Age_INT", "-007"), pair("age_int", "-7")];
    client.put(message).await;
    let stored = client.get("k").await;
    assert_eq!(stored.content[0].indexes, [pair("age_int", "-7")]);
}
