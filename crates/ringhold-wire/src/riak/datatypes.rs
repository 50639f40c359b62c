//! Messages about data types, and about the counters that were there before them.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CounterUpdateReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: Bytes,
    #[prost(sint64, required, tag = "3")]
    pub amount: i64,
    #[prost(uint32, optional, tag = "4")]
    pub w: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub dw: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub pw: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    pub returnvalue: Option<bool>,
    #[prost(uint32, optional, tag = "8")]
    pub node_confirms: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CounterGetReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: Bytes,
    #[prost(uint32, optional, tag = "3")]
    pub r: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub pr: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub basic_quorum: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub notfound_ok: Option<bool>,
    #[prost(uint32, optional, tag = "7")]
    pub node_confirms: Option<u32>,
}

/// The answer to both; without a value where there is none, or none was asked for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CounterResp {
    #[prost(sint64, optional, tag = "1")]
    pub value: Option<i64>,
}

/// What a field of a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum FieldType {
    Counter = 1,
    Set = 2,
    Register = 3,
    Flag = 4,
    Map = 5,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct MapField {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub name: Bytes,
    /// A [`FieldType`].
    #[prost(int32, required, tag = "2")]
    pub r#type: i32,
}

/// A field of a map, with its value.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MapEntry {
    #[prost(message, required, tag = "1")]
    pub field: MapField,
    #[prost(sint64, optional, tag = "2")]
    pub counter_value: Option<i64>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub set_value: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub register_value: Option<Bytes>,
    #[prost(bool, optional, tag = "5")]
    pub flag_value: Option<bool>,
    #[prost(message, repeated, tag = "6")]
    pub map_value: Vec<MapEntry>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DtFetchReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub key: Bytes,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub r#type: Bytes,
    #[prost(uint32, optional, tag = "4")]
    pub r: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub pr: Option<u32>,
    #[prost(bool, optional, tag = "6")]
    pub basic_quorum: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub notfound_ok: Option<bool>,
    /// Milliseconds.
    #[prost(uint32, optional, tag = "8")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "9")]
    pub sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "10")]
    pub n_val: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub include_context: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub node_confirms: Option<u32>,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    Counter = 1,
    Set = 2,
    Map = 3,
    Hll = 4,
    Gset = 5,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DtValue {
    #[prost(sint64, optional, tag = "1")]
    pub counter_value: Option<i64>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub set_value: Vec<Bytes>,
    #[prost(message, repeated, tag = "3")]
    pub map_value: Vec<MapEntry>,
    #[prost(uint64, optional, tag = "4")]
    pub hll_value: Option<u64>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub gset_value: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DtFetchResp {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub context: Option<Bytes>,
    /// A [`DataType`].
    #[prost(int32, required, tag = "2")]
    pub r#type: i32,
    /// Absent where there is nothing. An empty set has one.
    #[prost(message, optional, tag = "3")]
    pub value: Option<DtValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CounterOp {
    /// Absent means one.
    #[prost(sint64, optional, tag = "1")]
    pub increment: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct SetOp {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub adds: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub removes: Vec<Bytes>,
}

/// Of a growing set, and of an estimate.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AddOp {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub adds: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum FlagOp {
    Enable = 1,
    Disable = 2,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct MapUpdate {
    #[prost(message, required, tag = "1")]
    pub field: MapField,
    #[prost(message, optional, tag = "2")]
    pub counter_op: Option<CounterOp>,
    #[prost(message, optional, tag = "3")]
    pub set_op: Option<SetOp>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub register_op: Option<Bytes>,
    /// A [`FlagOp`].
    #[prost(int32, optional, tag = "5")]
    pub flag_op: Option<i32>,
    #[prost(message, optional, tag = "6")]
    pub map_op: Option<MapOp>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct MapOp {
    #[prost(message, repeated, tag = "1")]
    pub removes: Vec<MapField>,
    #[prost(message, repeated, tag = "2")]
    pub updates: Vec<MapUpdate>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DtOp {
    #[prost(message, optional, tag = "1")]
    pub counter_op: Option<CounterOp>,
    #[prost(message, optional, tag = "2")]
    pub set_op: Option<SetOp>,
    #[prost(message, optional, tag = "3")]
    pub map_op: Option<MapOp>,
    #[prost(message, optional, tag = "4")]
    pub hll_op: Option<AddOp>,
    #[prost(message, optional, tag = "5")]
    pub gset_op: Option<AddOp>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DtUpdateReq {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub bucket: Bytes,
    /// Absent: the server makes one up.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub key: Option<Bytes>,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub r#type: Bytes,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub context: Option<Bytes>,
    #[prost(message, required, tag = "5")]
    pub op: DtOp,
    #[prost(uint32, optional, tag = "6")]
    pub w: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub dw: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub pw: Option<u32>,
    #[prost(bool, optional, tag = "9")]
    pub return_body: Option<bool>,
    /// Milliseconds.
    #[prost(uint32, optional, tag = "10")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub n_val: Option<u32>,
    #[prost(bool, optional, tag = "13")]
    pub include_context: Option<bool>,
    #[prost(uint32, optional, tag = "14")]
    pub node_confirms: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DtUpdateResp {
    /// Only where the server made it up.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub context: Option<Bytes>,
    #[prost(sint64, optional, tag = "3")]
    pub counter_value: Option<i64>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub set_value: Vec<Bytes>,
    #[prost(message, repeated, tag = "5")]
    pub map_value: Vec<MapEntry>,
    #[prost(uint64, optional, tag = "6")]
    pub hll_value: Option<u64>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub gset_value: Vec<Bytes>,
}
