//! A server that answers, hangs up, falls silent or is not there, as each test says.

use std::time::Duration;

use ringhold_client::{ClientError, Doubt, HttpPool, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok";

async fn listener() -> (TcpListener, HttpPool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (
        listener,
        HttpPool::at(&format!("http://{address}")).expect("a URL"),
    )
}

fn request() -> Request {
    Request::get("/x?y=z", Duration::from_secs(30))
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a client").0
}

/// Reads the head of a request, and returns it.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).expect("a head is text")
}

#[tokio::test]
async fn nobody_there_means_nothing_was_sent() {
    let (listener, pool) = listener().await;
    drop(listener);
    let error = pool.request(&request()).await.expect_err("nobody listens");
    assert!(error.did_not_start() && error.is_passing(), "{error}");
}

#[tokio::test]
async fn an_answer_is_read_whole_and_its_connection_is_kept() {
    let (listener, pool) = listener().await;
    let server = async {
        let mut stream = accept(&listener).await;
        for _ in 0..3 {
            let head = head(&mut stream).await.to_ascii_lowercase();
            assert!(head.starts_with("get /x?y=z http/1.1\r\n"), "{head}");
            assert!(
                head.contains(&format!("host: {}\r\n", &pool.base().to_string()[7..])),
                "{head}"
            );
            stream.write_all(ANSWER).await.expect("answered");
        }
    };
    let client = async {
        for _ in 0..3 {
            let answer = pool.request(&request()).await.expect("an answer");
            assert_eq!((answer.status, answer.header("x-a")), (200, Some("b")));
            assert_eq!(answer.text(), "ok");
        }
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced_unnoticed() {
    let (listener, pool) = listener().await;
    let server = async {
        for _ in 0..2 {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            stream.write_all(ANSWER).await.expect("answered");
            stream.shutdown().await.expect("closed");
            // The client has seen the end once it has closed its own side.
            assert_eq!(stream.read(&mut [0]).await.expect("an orderly end"), 0);
        }
    };
    let client = async {
        pool.request(&request()).await.expect("an answer");
        pool.request(&request()).await
    };
    let (server, answer) = tokio::join!(async { tokio::join!(server).0 }, client);
    assert_eq!(((), 200), (server, answer.expect("a second answer").status));
}

#[tokio::test]
async fn hanging_up_after_the_request_leaves_it_unknown() {
    for part in [
        &b""[..],
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
    ] {
        let (listener, pool) = listener().await;
        let server = async {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            stream.write_all(part).await.expect("a part of an answer");
        };
        let request = request();
        let (error, ()) = tokio::join!(pool.request(&request), server);
        let error = error.expect_err("no whole answer");
        assert!(
            matches!(
                error,
                ClientError::Unknown {
                    doubt: Doubt::Broken { .. },
                    ..
                }
            ),
            "{error}"
        );
        assert!(!error.did_not_start() && error.is_passing());
    }
}

#[tokio::test]
async fn silence_leaves_it_unknown_too() {
    let (listener, pool) = listener().await;
    let request = Request {
        timeout: Duration::from_millis(20),
        ..request()
    };
    let (error, stream) = tokio::join!(pool.request(&request), accept(&listener));
    let error = error.expect_err("no answer");
    assert!(
        matches!(
            error,
            ClientError::Unknown {
                doubt: Doubt::TimedOut { .. },
                ..
            }
        ),
        "{error}"
    );
    drop(stream);
}

#[tokio::test]
async fn something_that_is_no_http_is_no_answer() {
    let (listener, pool) = listener().await;
    let server = async {
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream.write_all(b"SSH-2.0-x\r\n\r\n").await.expect("said");
    };
    let request = request();
    let (error, ()) = tokio::join!(pool.request(&request), server);
    assert!(error.is_err());
}
