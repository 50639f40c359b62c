//! Reading a body: how much is taken, from whom, and how long it may take.
//!
//! Room is claimed before the first byte is read (T28): as much as the client announces, or as much as a value
//! may have when it announces nothing. All connections share the room, so many large uploads at once are
//! answered "overloaded" instead of filling the memory. A client that sends too slowly is cut off:
//! it gets a fixed time and what its body takes at a modest rate.

use super::problem::Problem;
use crate::edge::patience::sending;
use crate::edge::{Door, Room, UNIT_BYTES};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue};
use std::error::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// A body, and the room that it takes until this is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Room {
    /// Takes a body of at most `limit` bytes.
    pub(super) async fn receive<B>(&self, body: B, limit: usize) -> Result<Received, BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let announced = body.size_hint().exact();
        let announced = announced.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced.is_some_and(|bytes| bytes > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let bytes = announced.unwrap_or(limit);
        let mut room = self.claim(bytes).ok_or(BodyError::NoRoom)?;
        let reading = Box::pin(Limited::new(body, limit).collect());
        let bytes = match timeout(sending(bytes), reading).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(BodyError::TooLarge { limit });
            }
            Ok(Err(_)) => return Err(BodyError::Malformed),
            Err(_) => return Err(BodyError::TooSlow),
        };
        let excess = room
            .num_permits()
            .saturating_sub(bytes.len().div_ceil(UNIT_BYTES));
        drop(room.split(excess));
        Ok(Received { bytes, _room: room })
    }
}

/// Why there is no body. The request has not been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// Other bodies take up the room.
    NoRoom,
    TooLarge {
        limit: usize,
    },
    /// It did not come at the rate that is asked for.
    TooSlow,
    /// Its framing is broken, or it ended early.
    Malformed,
}

impl BodyError {
    pub(super) fn problem(self, door: &impl Door) -> Problem {
        let closing = |status, text: String| {
            // After this nothing on the connection can be made sense of.
            Problem::new(status, text).with(CONNECTION, HeaderValue::from_static("close"))
        };
        match self {
            Self::NoRoom => {
                door.note_request_shed();
                Problem::overloaded()
            }
            Self::TooLarge { limit } => {
                let text = format!("the body has more than {limit} bytes, which is the limit\n");
                closing(StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            Self::TooSlow => closing(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long\n".to_owned(),
            ),
            Self::Malformed => closing(
                StatusCode::BAD_REQUEST,
                "the body is malformed or incomplete\n".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A body of unknown length, in pieces.
    struct Pieces(Vec<&'static [u8]>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.remove(0))))))
        }
    }

    fn left(room: &Room) -> usize {
        room.units_left()
    }

    #[tokio::test]
    async fn room_is_taken_while_the_body_is_held() {
        let room = Room::new(8 * UNIT_BYTES);
        let received = room
            .receive(Full::new(Bytes::from(vec![7; 2500])), 4096)
            .await
            .expect("it fits");
        assert_eq!((received.bytes.len(), left(&room)), (2500, 5));
        drop(received);
        assert_eq!(left(&room), 8);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_claims_the_most_and_gives_back() {
        let room = Room::new(4 * UNIT_BYTES);
        let received = room
            .receive(Pieces(vec![b"ab", b"c"]), 4096)
            .await
            .expect("it fits");
        assert_eq!((&received.bytes[..], left(&room)), (&b"abc"[..], 3));
        let refused = room.receive(Pieces(vec![b"ab"]), 4096).await;
        assert_eq!(refused.map(|_| ()), Err(BodyError::NoRoom));
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_whether_announced_or_not() {
        let room = Room::new(64 * UNIT_BYTES);
        let announced = room
            .receive(Full::new(Bytes::from_static(b"abcd")), 3)
            .await;
        let found_out = room.receive(Pieces(vec![b"ab", b"cd"]), 3).await;
        for refused in [announced, found_out] {
            assert_eq!(refused.map(|_| ()), Err(BodyError::TooLarge { limit: 3 }));
        }
        assert_eq!(left(&room), 64);
    }
}
