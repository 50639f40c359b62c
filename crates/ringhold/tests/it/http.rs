//! HTTP as plain as it gets: one request a connection, the answer as bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// No answer within this time is a failure of the test, not a matter of speed.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let wanted = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(wanted)
            .map(|(_, value)| value.as_str())
    }

    /// The context that the answer gives out.
    pub(crate) fn context(&self) -> String {
        self.header("X-Riak-Vclock")
            .unwrap_or_else(|| panic!("no context in {self:?}"))
            .to_owned()
    }
}

/// One request; `None` if nobody answers.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(head.as_bytes()).ok()?;
    // A server that refuses early may not read the body; what it answered counts.
    stream.write_all(body).ok();
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    if bytes.is_empty() {
        return None;
    }
    read.ok();
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..split]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let body = String::from_utf8_lossy(&bytes[split + 4..]).into_owned();
    Some(Answer {
        status,
        headers,
        body,
    })
}
