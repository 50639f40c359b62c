//! Frames, and which code is which message.

use super::{
    ClientId, CounterGetReq, CounterResp, CounterUpdateReq, CoverageReq, CoverageResp, CsBucketReq,
    DelReq, DtFetchReq, DtFetchResp, DtUpdateReq, DtUpdateResp, ErrorResp, GetBucketReq,
    GetBucketResp, GetBucketTypeReq, GetReq, GetResp, IndexBodyResp, IndexReq, IndexResp,
    ListBucketsReq, ListBucketsResp, ListKeysReq, ListKeysResp, PreflistReq, PreflistResp, PutReq,
    PutResp, ResetBucketReq, ServerInfoResp, SetBucketReq, SetBucketTypeReq,
};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use std::fmt;

/// The length and the code.
pub const HEADER_BYTES: usize = 5;

/// What the first bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub code: u8,
    /// Bytes of the message that follows.
    pub bytes: usize,
}

/// Why the bytes on a connection can't be cut into frames. It can't be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame has at least a code.
    Empty,
    TooLarge {
        bytes: usize,
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a frame without a message code"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "a message of {bytes} bytes, the limit is {limit}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

impl Header {
    /// Reads the beginning of a frame whose message has at most `limit` bytes.
    ///
    /// # Errors
    /// The frame has no message code, or is larger.
    pub fn read(header: [u8; HEADER_BYTES], limit: usize) -> Result<Self, FrameError> {
        let [a, b, c, d, code] = header;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let bytes = length.checked_sub(1).ok_or(FrameError::Empty)?;
        if bytes > limit {
            return Err(FrameError::TooLarge { bytes, limit });
        }
        Ok(Self { code, bytes })
    }
}

/// Why a message is no request. The connection can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    UnknownCode(u8),
    Malformed { code: u8, reason: String },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCode(code) => write!(f, "Unknown message code: {code}"),
            Self::Malformed { code, reason } => {
                write!(f, "message {code} is malformed: {reason}")
            }
        }
    }
}

impl std::error::Error for RequestError {}

/// What clients ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Ping,
    GetClientId,
    SetClientId(ClientId),
    GetServerInfo,
    Get(GetReq),
    Put(PutReq),
    Delete(DelReq),
    GetBucket(GetBucketReq),
    SetBucket(SetBucketReq),
    ResetBucket(ResetBucketReq),
    GetBucketType(GetBucketTypeReq),
    Preflist(PreflistReq),
    Coverage(CoverageReq),
    SetBucketType(SetBucketTypeReq),
    ListBuckets(ListBucketsReq),
    ListKeys(ListKeysReq),
    Index(IndexReq),
    CsBucket(CsBucketReq),
    CounterUpdate(CounterUpdateReq),
    CounterGet(CounterGetReq),
    DtFetch(DtFetchReq),
    DtUpdate(Box<DtUpdateReq>),
    StartTls,
}

impl Request {
    /// # Errors
    /// The code is not that of a request that is served, or its bytes are not that message.
    pub fn decode(code: u8, bytes: Bytes) -> Result<Self, RequestError> {
        fn message<M: Message + Default>(code: u8, bytes: Bytes) -> Result<M, RequestError> {
            M::decode(bytes).map_err(|error| RequestError::Malformed {
                code,
                reason: error.to_string(),
            })
        }
        Ok(match code {
            1 => Self::Ping,
            3 => Self::GetClientId,
            5 => Self::SetClientId(message(code, bytes)?),
            7 => Self::GetServerInfo,
            9 => Self::Get(message(code, bytes)?),
            11 => Self::Put(message(code, bytes)?),
            13 => Self::Delete(message(code, bytes)?),
            15 => Self::ListBuckets(message(code, bytes)?),
            17 => Self::ListKeys(message(code, bytes)?),
            25 => Self::Index(message(code, bytes)?),
            40 => Self::CsBucket(message(code, bytes)?),
            19 => Self::GetBucket(message(code, bytes)?),
            21 => Self::SetBucket(message(code, bytes)?),
            29 => Self::ResetBucket(message(code, bytes)?),
            31 => Self::GetBucketType(message(code, bytes)?),
            33 => Self::Preflist(message(code, bytes)?),
            70 => Self::Coverage(message(code, bytes)?),
            32 => Self::SetBucketType(message(code, bytes)?),
            50 => Self::CounterUpdate(message(code, bytes)?),
            52 => Self::CounterGet(message(code, bytes)?),
            80 => Self::DtFetch(message(code, bytes)?),
            82 => Self::DtUpdate(Box::new(message(code, bytes)?)),
            255 => Self::StartTls,
            unknown => return Err(RequestError::UnknownCode(unknown)),
        })
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Error(ErrorResp),
    Ping,
    ClientId(ClientId),
    ClientIdSet,
    ServerInfo(ServerInfoResp),
    Get(GetResp),
    Put(PutResp),
    Deleted,
    Bucket(Box<GetBucketResp>),
    BucketSet,
    BucketReset,
    Preflist(PreflistResp),
    Coverage(CoverageResp),
    Buckets(ListBucketsResp),
    Keys(ListKeysResp),
    Index(IndexResp),
    IndexBodies(IndexBodyResp),
    /// The same in answer to a [`CsBucketReq`].
    CsBucket(IndexBodyResp),
    CounterUpdate(CounterResp),
    CounterGet(CounterResp),
    DtFetch(DtFetchResp),
    DtUpdate(DtUpdateResp),
}

impl Response {
    /// An error with this text.
    pub fn error(text: impl Into<Bytes>) -> Self {
        Self::Error(ErrorResp {
            errmsg: text.into(),
            errcode: 0,
        })
    }

    /// Appends the frame.
    ///
    /// # Panics
    /// If the message has 4 GiB or more.
    pub fn append_to(&self, out: &mut BytesMut) {
        match self {
            Self::Error(message) => append(out, 0, Some(message)),
            Self::Ping => empty(out, 2),
            Self::ClientId(message) => append(out, 4, Some(message)),
            Self::ClientIdSet => empty(out, 6),
            Self::ServerInfo(message) => append(out, 8, Some(message)),
            Self::Get(message) => append(out, 10, Some(message)),
            Self::Put(message) => append(out, 12, Some(message)),
            Self::Deleted => empty(out, 14),
            Self::Bucket(message) => append(out, 20, Some(&**message)),
            Self::BucketSet => empty(out, 22),
            Self::BucketReset => empty(out, 30),
            Self::Preflist(message) => append(out, 34, Some(message)),
            Self::Coverage(message) => append(out, 71, Some(message)),
            Self::Buckets(message) => append(out, 16, Some(message)),
            Self::Keys(message) => append(out, 18, Some(message)),
            Self::Index(message) => append(out, 26, Some(message)),
            Self::IndexBodies(message) => append(out, 42, Some(message)),
            Self::CsBucket(message) => append(out, 41, Some(message)),
            Self::CounterUpdate(message) => append(out, 51, Some(message)),
            Self::CounterGet(message) => append(out, 53, Some(message)),
            Self::DtFetch(message) => append(out, 81, Some(message)),
            Self::DtUpdate(message) => append(out, 83, Some(message)),
        }
    }
}

fn empty(out: &mut BytesMut, code: u8) {
    append::<ErrorResp>(out, code, None);
}

fn append<M: Message>(out: &mut BytesMut, code: u8, message: Option<&M>) {
    let bytes = message.map_or(0, Message::encoded_len);
    let length = u32::try_from(bytes + 1).expect("no answer has 4 GiB");
    out.reserve(bytes + HEADER_BYTES);
    out.put_u32(length);
    out.put_u8(code);
    if let Some(message) = message {
        message.encode(out).expect("a BytesMut takes everything");
    }
}
