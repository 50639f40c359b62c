//! Requests that nobody should send: whatever comes, the server answers or closes, and goes on (T29).

use crate::http::{exchange, limits};
use crate::http_door::FakeDoor;
use ringhold_server::http::Edge;

/// Requests that are wrong, each in its own way.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = RAW.iter().map(|raw| raw.to_vec()).collect();
    let long = |length: usize| "a".repeat(length);
    let get = |path: &str, rest: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: h\r\n{rest}\r\n").into_bytes()
    };
    corpus.push(get(&format!("/buckets/{}/keys/k", long(300)), ""));
    corpus.push(get(&format!("/buckets/b/keys/{}", long(2000)), ""));
    corpus.push(get(&format!("/buckets/b/keys/{}", long(20_000)), ""));
    corpus.push(get(
        &format!("/buckets/b/keys/k?{}", "r=1&".repeat(3000)),
        "",
    ));
    corpus.push(get(&format!("/{}", "/".repeat(10_000)), ""));
    corpus.push(get(&format!("/buckets/b/keys/{}", "%41".repeat(500)), ""));
    corpus.push(get("/ping", &format!("X: {}\r\n", long(20_000))));
    corpus.push(get("/ping", &format!("{}: x\r\n", long(20_000))));
    corpus.push(get("/ping", &"A: b\r\n".repeat(200)));
    corpus.push(get(
        "/buckets/b/keys/k",
        &format!("Accept: {}\r\n", "a/b;q=0.1,".repeat(1000)),
    ));
    corpus.push(get(
        "/buckets/b/keys/k",
        &format!("If-None-Match: {}\r\n", "\"x\",".repeat(2000)),
    ));
    corpus.push(get(
        "/buckets/b/keys/k",
        &format!("X-Riak-Vclock: {}\r\n", "AAAA".repeat(3000)),
    ));
    corpus.push(format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", long(5000)).into_bytes());
    corpus.push(put(&format!(
        "Link: {}\r\n",
        "</buckets/b/keys/k>; riaktag=\"t\",".repeat(400)
    )));
    corpus.push(put(&format!("Link: {}\r\n", "<".repeat(5000))));
    corpus.push(put(&format!(
        "X-Riak-Index-f_int: {}\r\n",
        "9".repeat(5000)
    )));
    corpus.push(put(&format!("Idempotency-Key: {}\r\n", long(300))));
    corpus.push((0..=255).collect());
    corpus.push(vec![0; 10_000]);
    corpus.push(vec![b'\n'; 10_000]);
    corpus.push(vec![0xff; 10_000]);
    corpus
}

fn put(headers: &str) -> Vec<u8> {
    format!("PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 1\r\n{headers}\r\nx")
        .into_bytes()
}

const RAW: &[&[u8]] = &[
    b"",
    b"\r\n",
    b"GET",
    b"GET /",
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / FTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /ping HTTP/1.1\nHost: h\n\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost : h\r\n\r\n",
    b"GET /ping HTTP/1.1\r\n Host: h\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\nNo colon\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\n: empty\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\nNul: a\0b\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: h\r\nBare: a\rb\r\n\r\n",
    b"GET /pi\0ng HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /pi ng HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/\xc3\xbc/keys/\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET ping HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    b"GET http:// HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://h:99999/ping HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://h/buckets/b/keys/k#fragment HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET ?r=1 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/%GG HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/% HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/%00%0d%0a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/../../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets//keys/ HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/k?%=%&==&&r=%f HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/k?timeout=99999999999999999999 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/k?timeout=18446744073709551615 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/k?r=4294967292 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nX-Ringhold-Deadline-Ms: -1\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nX-Ringhold-Deadline-Ms: 0\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: Mon, 99 Foo 99999 99:99:99 GMT\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nReferer: http://[::1\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nOrigin: null\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nAccept: ;;;,,,//;q=q\r\n\r\n",
    b"GET /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: -5\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: +1\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 1,1\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 0x1\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 99999999999999999999\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 18446744073709551615\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 1001\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /ping HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.0\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nX-Riak-Vclock: ====\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: \xff\xff/\xff\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b; charset=\"\r\nContent-Length: 0\r\n\r\n",
    b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx",
    b"PUT /buckets/b/props HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n\xff\xff",
    b"PUT /buckets/b/props HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n{",
    b"DELETE /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nX-Riak-Vclock: AAAA\r\n\r\n",
    b"BREW /coffee HTCPCP/1.0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00\x00\x00\x01\x01",
];

/// Whether these bytes are nothing, or begin an answer that does not blame the server.
fn is_an_answer_or_a_close(received: &[u8]) -> bool {
    received.is_empty()
        || (received.starts_with(b"HTTP/1.") && !received.starts_with(b"HTTP/1.1 500"))
}

async fn still_serves(edge: &std::sync::Arc<Edge<FakeDoor>>) -> bool {
    let (received, _) = exchange(edge, b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n").await;
    received.starts_with(b"HTTP/1.1 200 ")
}

#[tokio::test]
async fn every_malformed_request_is_answered_or_ends_its_connection() {
    let edge = Edge::new(FakeDoor::new(), limits());
    let corpus = corpus();
    assert!(corpus.len() >= 60, "only {} requests", corpus.len());
    for sent in corpus {
        let shown = String::from_utf8_lossy(&sent[..sent.len().min(200)]).into_owned();
        let (received, ended) = exchange(&edge, &sent).await;
        assert!(ended, "a panic after {shown:?}");
        assert!(
            is_an_answer_or_a_close(&received),
            "{shown:?}\n{}",
            String::from_utf8_lossy(&received)
        );
        assert!(still_serves(&edge).await, "after {shown:?}");
    }
}

/// A body that is not what was announced must not become an object.
#[tokio::test]
async fn nothing_is_stored_of_an_incomplete_body() {
    let door = FakeDoor::new();
    let edge = Edge::new(door.clone(), limits());
    for body in [
        &b"Content-Length: 5\r\n\r\nabc"[..],
        b"Content-Length: 1001\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    ] {
        let head = b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n";
        let (received, ended) = exchange(&edge, &[head, body].concat()).await;
        assert!(
            ended && !received.starts_with(b"HTTP/1.1 2"),
            "{}",
            String::from_utf8_lossy(&received)
        );
        assert_eq!(door.keys(), 0);
    }
}

/// Good requests with a few bytes changed, cut or doubled, always the same ones.
#[tokio::test]
async fn damaged_requests_are_answered_or_end_their_connection() {
    let edge = Edge::new(FakeDoor::new(), limits());
    let good = [
        put("X-Riak-Meta-A: b\r\nX-Riak-Index-f_int: 5\r\nLink: </buckets/b/keys/k>; riaktag=\"t\"\r\n"),
        put("If-None-Match: *\r\nIdempotency-Key: once\r\nX-Ringhold-Explain: true\r\n"),
        b"GET /types/default/buckets/b/keys/k?r=1&vtag=x HTTP/1.1\r\nHost: h\r\nAccept: multipart/mixed\r\n\r\n".to_vec(),
        b"PUT /buckets/b/props HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"props\":{\"r\":\"x\"}}".to_vec(),
    ];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(limit).expect("small")).expect("below a usize")
    };
    for round in 0..1500 {
        let mut sent = good[round % good.len()].clone();
        for _ in 0..=below(3) {
            let at = below(sent.len());
            match below(3) {
                0 => sent[at] = u8::try_from(below(256)).expect("a byte"),
                1 => sent.truncate(at.max(1)),
                _ => sent.insert(at, sent[at]),
            }
        }
        let (received, ended) = exchange(&edge, &sent).await;
        assert!(ended, "a panic after {:?}", String::from_utf8_lossy(&sent));
        assert!(
            is_an_answer_or_a_close(&received),
            "{:?}",
            String::from_utf8_lossy(&sent)
        );
    }
    assert!(still_serves(&edge).await);
}
