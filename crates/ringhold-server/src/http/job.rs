//! An operator's jobs: what takes longer than a request may, and tells how far it is.
//!
//! The answer to the request that starts a job begins at once and ends with the job. It is a list of lines, each a
//! JSON object with a `type`; the last one has the type `end` and says what the job came to. Who sees an
//! answer without that line knows that the job was cut off. A job ends soon after its client has gone.
//!
//! Few jobs run at once: each may read or write all that the cluster has.

use super::Answer;
use super::compress::gzip;
use super::options;
use super::problem::Problem;
use crate::edge::patience::Working;
use crate::edge::{Door, Job, JobRefused};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Jobs at once.
pub(super) const JOBS_MAX: usize = 4;

/// One JSON value a line.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Which job a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobName {
    Verify,
    Repair,
    Backup,
}

/// See `ringhold_wire::backup`.
const BLOCKS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Starts a job; its answer follows it.
pub(super) fn start(
    door: &impl Door,
    name: JobName,
    parts: &Parts,
    jobs: &Arc<Semaphore>,
) -> Result<Response<AnswerBody>, Problem> {
    let partition = options::partition(parts.uri.query())?;
    let Ok(permit) = Arc::clone(jobs).try_acquire_owned() else {
        door.note_request_shed();
        return Err(Problem::overloaded());
    };
    let job = match name {
        JobName::Verify => Job::Verify { partition },
        JobName::Repair => Job::Repair { partition },
        JobName::Backup => Job::Backup,
    };
    let lines = door.start(job).map_err(|refused| match refused {
        JobRefused::NoSuchPartition { .. } => {
            Problem::new(StatusCode::NOT_FOUND, format!("{refused}\n"))
        }
    })?;
    let mut answer = Response::new(AnswerBody::Lines(Lines {
        lines,
        is_compressed: false,
        _permit: Some(permit),
        working: None,
    }));
    let content_type = match name {
        JobName::Verify | JobName::Repair => LINES,
        JobName::Backup => BLOCKS,
    };
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(answer)
}

/// The lines of a job that is under way.
pub(super) struct Lines {
    lines: mpsc::Receiver<Bytes>,
    /// Each on its way.
    is_compressed: bool,
    _permit: Option<OwnedSemaphorePermit>,
    working: Option<Working>,
}

impl Lines {
    /// The same, each line compressed.
    pub(super) fn compressed(self) -> Self {
        Self {
            is_compressed: true,
            ..self
        }
    }
}

/// What follows the head of an answer.
pub(super) enum AnswerBody {
    Whole(Full<Bytes>),
    Lines(Lines),
}

impl AnswerBody {
    /// A body that comes piece by piece.
    pub(super) fn following(lines: mpsc::Receiver<Bytes>) -> Self {
        Self::Lines(Lines {
            lines,
            is_compressed: false,
            _permit: None,
            working: None,
        })
    }

    /// The request is worked on until the last line was written, or for a whole body: no longer.
    pub(super) fn worked_on(mut self, working: Working) -> Self {
        if let Self::Lines(lines) = &mut self {
            lines.working = Some(working);
        }
        self
    }
}

/// An answer that is there as a whole.
pub(super) fn whole(answer: Answer) -> Response<AnswerBody> {
    answer.map(AnswerBody::Whole)
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Lines(body) => {
                let line = body.lines.poll_recv(context);
                if matches!(line, Poll::Ready(None)) {
                    body.working = None;
                }
                let is_compressed = body.is_compressed;
                let sent = |line: Bytes| if is_compressed { gzip(&line) } else { line };
                line.map(|line| line.map(|line| Ok(Frame::data(sent(line)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Lines(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Lines(_) => SizeHint::default(),
        }
    }
}
