//! Answers that go on for as long as a job runs.
//!
//! A job of a node tells how far it is while it runs: its answer begins at once and may end an hour later. It is read
//! piece by piece here, on a connection of its own, and what is waited for is the next piece. A node that
//! works says something every few seconds, so silence means that it is gone.

use crate::error::{ClientError, Doubt};
use crate::http::{BaseUrl, Request, chain};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use std::time::Duration;

/// The text of a refusal.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// No line of a job is longer.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer that is being read.
#[derive(Debug)]
pub struct Streamed {
    url: String,
    body: Incoming,
    silence: Duration,
    read: BytesMut,
}

impl Streamed {
    /// Sends a request and returns when its answer begins. `request.timeout` is how long each piece is waited for.
    ///
    /// # Errors
    /// If nothing was sent, no answer began, or it was a refusal ([`ClientError::Status`]).
    pub async fn open(base: &BaseUrl, request: &Request) -> Result<Self, ClientError> {
        let url = format!("{base}{}", request.path);
        let silence = request.timeout;
        let unknown = |doubt| ClientError::Unknown {
            url: url.clone(),
            doubt,
        };
        let mut sender = base.connect::<Full<Bytes>>().await?;
        let sent = request.with_body(base, Full::new(request.body.clone()))?;
        let answer = tokio::time::timeout(silence, sender.send_request(sent)).await;
        let answer = answer.map_err(|_| unknown(Doubt::TimedOut { after: silence }))?;
        let answer = answer.map_err(|error| {
            unknown(Doubt::Broken {
                problem: chain(&error),
            })
        })?;
        let status = answer.status();
        if !status.is_success() {
            let text = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX);
            let text = tokio::time::timeout(silence, text.collect()).await;
            let text = text.ok().and_then(Result::ok).unwrap_or_default();
            return Err(ClientError::Status {
                url,
                status: status.as_u16(),
                text: String::from_utf8_lossy(&text.to_bytes()).into_owned(),
            });
        }
        Ok(Self {
            url,
            body: answer.into_body(),
            silence,
            read: BytesMut::new(),
        })
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// If the answer broke off, or nothing came for too long.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        if !self.read.is_empty() {
            return Ok(Some(self.read.split().freeze()));
        }
        self.receive().await
    }

    /// The next line without its end; none at the end.
    ///
    /// # Errors
    /// As for [`Streamed::piece`]; or the last line has no end, or one is too long.
    pub async fn line(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end).freeze();
                self.read.advance(1);
                return Ok(Some(line));
            }
            if self.read.len() > LINE_BYTES_MAX {
                return Err(self.malformed("a line of its answer has no end"));
            }
            match self.receive().await? {
                Some(bytes) => self.read.extend_from_slice(&bytes),
                None if self.read.is_empty() => return Ok(None),
                None => return Err(self.malformed("the last line of its answer is cut off")),
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(self.silence, self.body.frame()).await;
            let doubt = match frame {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    // Trailers, which say nothing here.
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => Doubt::Broken {
                    problem: chain(&error),
                },
                Err(_) => Doubt::TimedOut {
                    after: self.silence,
                },
            };
            let url = self.url.clone();
            return Err(ClientError::Unknown { url, doubt });
        }
    }

    fn malformed(&self, problem: &str) -> ClientError {
        ClientError::Malformed {
            url: self.url.clone(),
            problem: problem.to_owned(),
        }
    }
}
