//! Riak's Protocol Buffers API as a way to a node: as its clients do, one request at a time on a connection.
//!
//! The messages are those that the node reads ([`ringhold_wire::riak`]); only the framing of requests is here, as a node has no use for it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use ringhold_client::{ClientError, Doubt};
use ringhold_wire::riak::{
    Content, ErrorResp, GetReq, GetResp, HEADER_BYTES, Header, PutReq, PutResp,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::driver::{CONTENT_TYPE, Driver, Found, Operation, TIMEOUT};
use crate::output::Failure;

const GET: u8 = 9;
const PUT: u8 = 11;
/// No answer that a benchmark asks for is larger.
const ANSWER_BYTES_MAX: usize = 256 << 20;

pub(super) struct Pb {
    address: String,
    bucket: Bytes,
    /// Connections that nobody uses at the moment.
    idle: Mutex<Vec<TcpStream>>,
}

impl Pb {
    /// Connects to `host:port` as often as there will be requests at a time.
    pub(super) async fn driver(
        address: &str,
        bucket: &str,
        connections: usize,
    ) -> Result<Arc<dyn Driver>, Failure> {
        let pb = Self {
            address: address.to_owned(),
            bucket: Bytes::copy_from_slice(bucket.as_bytes()),
            idle: Mutex::default(),
        };
        for _ in 0..connections {
            let connection = pb.connect().await?;
            pb.idle().push(connection);
        }
        Ok(Arc::new(pb))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let unreachable = |error| ClientError::Unreachable {
            url: self.address.clone(),
            error,
        };
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(stream)
    }

    async fn ask<A: Message + Default>(
        &self,
        code: u8,
        request: &impl Message,
    ) -> Result<A, ClientError> {
        let idle = self.idle().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        // A connection on which something went wrong is dropped with what may still come on it.
        let asked = tokio::time::timeout(TIMEOUT, exchange(&mut stream, code, request)).await;
        let (answered, body) = asked
            .map_err(|_| self.unknown(Doubt::TimedOut { after: TIMEOUT }))?
            .map_err(|error| {
                self.unknown(Doubt::Broken {
                    problem: error.to_string(),
                })
            })?;
        self.idle().push(stream);
        if answered == code + 1 {
            return A::decode(body).map_err(|error| self.malformed(error.to_string()));
        }
        if answered != 0 {
            return Err(self.malformed(format!("message code {answered} answers {code}")));
        }
        let error = ErrorResp::decode(body).map_err(|error| self.malformed(error.to_string()))?;
        Err(ClientError::Status {
            url: self.address.clone(),
            status: 503,
            text: String::from_utf8_lossy(&error.errmsg).into_owned(),
        })
    }

    fn unknown(&self, doubt: Doubt) -> ClientError {
        ClientError::Unknown {
            url: self.address.clone(),
            doubt,
        }
    }

    fn malformed(&self, problem: String) -> ClientError {
        ClientError::Malformed {
            url: self.address.clone(),
            problem,
        }
    }
}

/// Sends a request and takes the answer's code and message.
async fn exchange(
    stream: &mut TcpStream,
    code: u8,
    request: &impl Message,
) -> io::Result<(u8, Bytes)> {
    let length = request.encoded_len() + 1;
    let mut frame = BytesMut::with_capacity(length + HEADER_BYTES);
    frame.put_u32(u32::try_from(length).map_err(io::Error::other)?);
    frame.put_u8(code);
    request.encode(&mut frame).map_err(io::Error::other)?;
    stream.write_all(&frame).await?;
    frame.clear();
    while frame.len() < HEADER_BYTES {
        more(stream, &mut frame).await?;
    }
    let mut header = [0; HEADER_BYTES];
    header.copy_from_slice(&frame.split_to(HEADER_BYTES));
    let header = Header::read(header, ANSWER_BYTES_MAX).map_err(io::Error::other)?;
    frame.reserve(header.bytes.saturating_sub(frame.len()));
    while frame.len() < header.bytes {
        more(stream, &mut frame).await?;
    }
    Ok((header.code, frame.split_to(header.bytes).freeze()))
}

async fn more(stream: &mut TcpStream, into: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(into).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

impl Driver for Pb {
    fn get<'a>(&'a self, key: &'a str) -> Operation<'a, Found> {
        Box::pin(async move {
            let request = GetReq {
                bucket: self.bucket.clone(),
                key: Bytes::copy_from_slice(key.as_bytes()),
                ..GetReq::default()
            };
            let got: GetResp = self.ask(GET, &request).await?;
            Ok(Found {
                versions: got.content.len(),
                context: got.vclock,
            })
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, context: Option<Bytes>) -> Operation<'a, ()> {
        Box::pin(async move {
            let request = PutReq {
                bucket: self.bucket.clone(),
                key: Some(Bytes::copy_from_slice(key.as_bytes())),
                vclock: context,
                content: Content {
                    value,
                    content_type: Some(Bytes::from_static(CONTENT_TYPE.as_bytes())),
                    ..Content::default()
                },
                ..PutReq::default()
            };
            let _: PutResp = self.ask(PUT, &request).await?;
            Ok(())
        })
    }
}
