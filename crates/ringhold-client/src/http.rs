//! HTTP/1.1 to one base URL: connections that are kept open, and a pool of them.
//!
//! The one thing that a general client hides and this one must not: whether a failed request had
//! been sent. hyper hands an unsent request back, which is the case when a kept connection turns
//! out to have been closed meanwhile; such a request goes out again on a fresh connection, and
//! nobody notices. Everything that fails later is [`ClientError::Unknown`].
//!
//! A connection carries one request at a time. One whose answer was not read to its end (the
//! caller stopped waiting, the answer was cut off) is dropped, never reused: what arrives on it
//! next would be somebody else's answer.
//!
//! Not here: redirects, cookies, compression, proxies, TLS.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
pub use hyper::Method;
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
pub use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::error::{ClientError, Doubt};

/// A hundred siblings of five megabytes fit.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Kept connections past this are closed when their request is done, unless a pool was told otherwise.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// Connections that are opened at the same time, where many are opened ahead.
const OPENED_AT_ONCE: usize = 32;
/// Opening a connection on one network takes milliseconds; this allows for one lost packet.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `HOST:PORT`, as it goes into `Host` and to the resolver.
    authority: String,
}

impl BaseUrl {
    /// Takes `http://HOST:PORT`, with or without a slash at the end.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let refuse = |problem: &str| ClientError::Invalid {
            what: "the address of a node",
            problem: format!("{text:?} {problem}; write it like http://127.0.0.1:8098"),
        };
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| refuse("does not begin with http://"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or_else(|| refuse("names no port"))?;
        if port.parse::<u16>().is_err() {
            return Err(refuse("has no port at its end"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(refuse("has no host that can be asked for"));
        }
        Ok(Self {
            authority: authority.to_owned(),
        })
    }
}

impl BaseUrl {
    /// A connection for requests with bodies of one kind.
    pub(crate) async fn connect<B>(&self) -> Result<SendRequest<B>, ClientError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let unreachable = |error| ClientError::Unreachable {
            url: self.to_string(),
            error,
        };
        let connecting = TcpStream::connect(&self.authority);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| unreachable(io::ErrorKind::TimedOut.into()))?
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(io::Error::other(error)))?;
        tokio::spawn(async move {
            // Its end is seen by whoever asks next; there is nobody else to tell.
            if connection.await.is_err() {}
        });
        Ok(sender)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// One request, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// Path and query, encoded.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// From the first byte sent to the last byte received.
    pub timeout: Duration,
}

impl Request {
    #[must_use]
    pub fn new(method: Method, path: String, timeout: Duration) -> Self {
        Self {
            method,
            path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(path: impl Into<String>, timeout: Duration) -> Self {
        Self::new(Method::GET, path.into(), timeout)
    }

    /// A PUT without a body yet.
    #[must_use]
    pub fn put(path: impl Into<String>, timeout: Duration) -> Self {
        Self::new(Method::PUT, path.into(), timeout)
    }

    /// A POST without a body.
    #[must_use]
    pub fn post(path: impl Into<String>, timeout: Duration) -> Self {
        Self::new(Method::POST, path.into(), timeout)
    }

    /// Adds a header. Refused: values that HTTP can't carry, such as those with line breaks.
    pub fn header(mut self, name: &'static str, value: &str) -> Result<Self, ClientError> {
        self.add_header(HeaderName::from_static(name), value, name)?;
        Ok(self)
    }

    pub(crate) fn add_header(
        &mut self,
        name: HeaderName,
        value: &str,
        what: &'static str,
    ) -> Result<(), ClientError> {
        let value = HeaderValue::from_str(value).map_err(|_| ClientError::Invalid {
            what,
            problem: format!("{value:?} can't be a header's value"),
        })?;
        self.headers.append(name, value);
        Ok(())
    }

    fn to_hyper(&self, base: &BaseUrl) -> Result<hyper::Request<Full<Bytes>>, ClientError> {
        self.with_body(base, Full::new(self.body.clone()))
    }

    /// The request with a body of another kind.
    pub(crate) fn with_body<B>(
        &self,
        base: &BaseUrl,
        body: B,
    ) -> Result<hyper::Request<B>, ClientError> {
        let mut request = hyper::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().map_err(|error| ClientError::Invalid {
            what: "the path of the request",
            problem: format!("{}: {error}", self.path),
        })?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::from_str(&base.authority).expect("a base URL is plain ASCII");
        request.headers_mut().insert(hyper::header::HOST, host);
        Ok(request)
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, for people.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One open connection.
#[derive(Debug)]
pub struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
}

/// What became of an attempt on one connection.
enum Attempt {
    Answered(Answer),
    /// The connection had been closed; nothing was sent.
    Unsent,
    Broken(String),
}

impl HttpConnection {
    pub async fn open(base: &BaseUrl) -> Result<Self, ClientError> {
        let sender = base.connect().await?;
        Ok(Self { sender })
    }

    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    async fn attempt(&mut self, request: hyper::Request<Full<Bytes>>) -> Attempt {
        if self.sender.ready().await.is_err() {
            return Attempt::Unsent;
        }
        let response = match self.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                return if unsent {
                    Attempt::Unsent
                } else {
                    Attempt::Broken(chain(error.error()))
                };
            }
        };
        let (head, body) = response.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Attempt::Answered(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes(),
            }),
            Err(error) => Attempt::Broken(chain(error.as_ref())),
        }
    }
}

/// Connections to one base URL, as many as requests run at a time.
#[derive(Debug)]
pub struct HttpPool {
    base: BaseUrl,
    idle: Mutex<Vec<HttpConnection>>,
    idle_max: usize,
}

impl HttpPool {
    #[must_use]
    pub fn new(base: BaseUrl) -> Self {
        Self {
            base,
            idle: Mutex::new(Vec::new()),
            idle_max: IDLE_CONNECTIONS_MAX,
        }
    }

    /// Opens so many connections and keeps them: whoever has many requests at a time does not open and close connections with each.
    ///
    /// # Errors
    /// If one of them could not be opened.
    pub async fn opened_ahead(mut self, connections: usize) -> Result<Self, ClientError> {
        self.idle_max = self.idle_max.max(connections);
        let mut left = connections;
        while left > 0 {
            let mut opening = JoinSet::new();
            for _ in 0..left.min(OPENED_AT_ONCE) {
                let base = self.base.clone();
                opening.spawn(async move { HttpConnection::open(&base).await });
            }
            left -= opening.len();
            for connection in opening.join_all().await {
                self.keep(connection?);
            }
        }
        Ok(self)
    }

    /// [`BaseUrl::parse`] and [`HttpPool::new`].
    pub fn at(url: &str) -> Result<Self, ClientError> {
        BaseUrl::parse(url).map(Self::new)
    }

    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Sends a request and reads the answer, whatever its status.
    pub async fn request(&self, request: &Request) -> Result<Answer, ClientError> {
        match tokio::time::timeout(request.timeout, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(self.unknown(Doubt::TimedOut {
                after: request.timeout,
            })),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, ClientError> {
        while let Some(connection) = self.take_idle() {
            match self.exchange_on(connection, request).await? {
                Some(answer) => return Ok(answer),
                None => continue,
            }
        }
        let connection = HttpConnection::open(&self.base).await?;
        match self.exchange_on(connection, request).await? {
            Some(answer) => Ok(answer),
            None => Err(ClientError::Unreachable {
                url: self.base.to_string(),
                error: io::ErrorKind::ConnectionReset.into(),
            }),
        }
    }

    /// `None` if the connection had been closed and nothing was sent.
    async fn exchange_on(
        &self,
        mut connection: HttpConnection,
        request: &Request,
    ) -> Result<Option<Answer>, ClientError> {
        match connection.attempt(request.to_hyper(&self.base)?).await {
            Attempt::Answered(answer) => {
                self.keep(connection);
                Ok(Some(answer))
            }
            Attempt::Unsent => Ok(None),
            Attempt::Broken(problem) => Err(self.unknown(Doubt::Broken { problem })),
        }
    }

    fn take_idle(&self) -> Option<HttpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: HttpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_open() && idle.len() < self.idle_max {
            idle.push(connection);
        }
    }

    fn unknown(&self, doubt: Doubt) -> ClientError {
        ClientError::Unknown {
            url: self.base.to_string(),
            doubt,
        }
    }
}

/// An error and what caused it: hyper keeps the telling part in the source.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:8098", "http://127.0.0.1:8098"),
            ("http://node-1.example:80/", "http://node-1.example:80"),
            ("http://[::1]:8098", "http://[::1]:8098"),
        ] {
            assert_eq!(BaseUrl::parse(text).expect(text).to_string(), shown);
        }
        for text in [
            "",
            "127.0.0.1:8098",
            "https://h:1",
            "http://h",
            "http://:1",
            "http://h:port",
            "http://h:99999",
            "http://h:1/path",
            "http://u@h:1",
            "http://h h:1",
            "http://h\r\nx:1",
        ] {
            let error = BaseUrl::parse(text).expect_err(text);
            assert!(error.did_not_start() && !error.is_passing());
        }
    }

    #[test]
    fn header_values_can_not_break_out() {
        let request = || Request::get("/", Duration::from_secs(1));
        assert!(request().header("x-riak-vclock", "abc=").is_ok());
        assert!(request().header("x-riak-vclock", "abc\r\nX: y").is_err());
    }
}
