//! Messages about buckets and bucket types.

use bytes::Bytes;
use prost::Message;

/// A function of a module.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModFun {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub module: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub function: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CommitHook {
    #[prost(message, optional, tag = "1")]
    pub modfun: Option<ModFun>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub name: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Repl {
    False = 0,
    Realtime = 1,
    Fullsync = 2,
    True = 3,
}

/// Some or all properties of a bucket. Quorums are numbers or those of [`super::symbolic`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BucketProps {
    #[prost(uint32, optional, tag = "1")]
    pub n_val: Option<u32>,
    #[prost(bool, optional, tag = "2")]
    pub allow_mult: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub last_write_wins: Option<bool>,
    #[prost(message, repeated, tag = "4")]
    pub precommit: Vec<CommitHook>,
    /// Whether an empty list above means "no hooks" and not "leave them".
    #[prost(bool, optional, tag = "5")]
    pub has_precommit: Option<bool>,
    #[prost(message, repeated, tag = "6")]
    pub postcommit: Vec<CommitHook>,
    #[prost(bool, optional, tag = "7")]
    pub has_postcommit: Option<bool>,
    #[prost(message, optional, tag = "8")]
    pub chash_keyfun: Option<ModFun>,
    #[prost(message, optional, tag = "9")]
    pub linkfun: Option<ModFun>,
    #[prost(uint32, optional, tag = "10")]
    pub old_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub young_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub big_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub small_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub pr: Option<u32>,
    #[prost(uint32, optional, tag = "15")]
    pub r: Option<u32>,
    #[prost(uint32, optional, tag = "16")]
    pub w: Option<u32>,
    #[prost(uint32, optional, tag = "17")]
    pub pw: Option<u32>,
    #[prost(uint32, optional, tag = "18")]
    pub dw: Option<u32>,
    #[prost(uint32, optional, tag = "19")]
    pub rw: Option<u32>,
    #[prost(bool, optional, tag = "20")]
    pub basic_quorum: Option<bool>,
    #[prost(bool, optional, tag = "21")]
    pub notfound_ok: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "22")]
    pub backend: Option<Bytes>,
    #[prost(bool, optional, tag = "23")]
    pub search: Option<bool>,
    #[prost(enumeration = "Repl", optional, tag = "24")]
    pub repl: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "25")]
    pub search_index: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "26")]
    pub datatype: Option<Bytes>,
    #[prost(bool, optional, tag = "27")]
    pub consistent: Option<bool>,
    #[prost(bool, optional, tag = "28")]
    pub write_once: Option<bool>,
    #[prost(uint32, optional, tag = "29")]
    pub hll_precision: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetBucketReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub r#type: Option<Bytes>,
}

/// Answers [`GetBucketReq`] and [`GetBucketTypeReq`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetBucketResp {
    #[prost(message, required, tag = "1")]
    pub props: BucketProps,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SetBucketReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(message, required, tag = "2")]
    pub props: BucketProps,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub r#type: Option<Bytes>,
}

/// Takes back all that the bucket has set.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResetBucketReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub r#type: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetBucketTypeReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub r#type: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SetBucketTypeReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub r#type: Bytes,
    #[prost(message, required, tag = "2")]
    pub props: BucketProps,
}
