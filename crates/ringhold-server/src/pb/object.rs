//! Get, put and delete.
//!
//! The rules are those of the HTTP edge: a context that this cluster did not give out for this key is refused; a delete
//! without one means "what is there now"; a conditional put is judged by a look and then guarded by the coordinating
//! replica, so it is as atomic as a quorum can be (in Riak it is only advisory).

use super::content::{content_of, metadata_of, values_of};
use super::quorum::count;
use super::refusal::{Condition, Refusal};
use super::{Edge, bucket_type};
use crate::edge::Door;
use crate::edge::names::random_name;
use crate::edge::patience::Clock;
use crate::edge::{delete_put, token_of};
use bytes::Bytes;
use ringhold_core::crdt::CausalContext;
use ringhold_core::id::OperationId;
use ringhold_core::quorum::{GetSpec, PutSpec};
use ringhold_core::version::token::{ContextToken, TokenScope};
use ringhold_core::version::{Content, Context, Object};
use ringhold_node::Errand;
use ringhold_node::properties::Properties;
use ringhold_wire::message::Flush;
use ringhold_wire::message::{
    Change, GetOptions, GetRequest, ObjectName, PutOptions, PutRequest, TypeUpdate,
};
use ringhold_wire::riak::{DelReq, GetReq, GetResp, PutReq, PutResp, Response};
use std::sync::Arc;

/// One request about one object.
pub(super) struct Call<'a, D> {
    edge: &'a Edge<D>,
    pub(super) name: ObjectName,
    pub(super) properties: Arc<Properties>,
    clock: Clock,
}

impl<'a, D: Door> Call<'a, D> {
    pub(super) fn new(
        edge: &'a Edge<D>,
        name: ObjectName,
        timeout_ms: Option<u32>,
    ) -> Result<Self, Refusal> {
        edge.check_name(&name)?;
        let properties = edge.door.properties(&name.bucket_type, &name.bucket);
        let properties =
            properties.ok_or_else(|| Refusal::unknown_bucket_type(&name.bucket_type))?;
        Ok(Self {
            edge,
            name,
            properties,
            clock: Clock::start(timeout_ms.map_or(edge.limits.request_ms, u64::from)),
        })
    }

    fn scope(&self) -> TokenScope<'_> {
        TokenScope {
            bucket_type: &self.name.bucket_type,
            bucket: &self.name.bucket,
            key: &self.name.key,
        }
    }

    /// The context that a client brings; an empty one is none.
    fn seen(&self, vclock: Option<&Bytes>) -> Result<Option<ContextToken>, Refusal> {
        let Some(sealed) = vclock.filter(|sealed| !sealed.is_empty()) else {
            return Ok(None);
        };
        let opened = self.edge.door.token_key().open(self.scope(), sealed);
        opened.map(Some).map_err(|_| Refusal::bad_vclock())
    }

    fn vclock_of(&self, object: &Object) -> Bytes {
        let token = token_of(object);
        Bytes::from(self.edge.door.token_key().seal(self.scope(), &token))
    }

    pub(super) async fn fetch(&self, options: GetOptions) -> Result<Object, Refusal> {
        let request = GetRequest {
            name: self.name.clone(),
            options,
            explain: false,
        };
        let fetched = self.edge.door.get(request, self.clock.left_ms()?).await;
        let fetched = fetched.map_err(|error| Refusal::of_get(&error, &self.name.bucket_type))?;
        Ok(fetched.object)
    }

    /// The past of a data type that a client brings; an empty one is none.
    pub(super) fn past(&self, context: Option<&Bytes>) -> Result<Option<CausalContext>, Refusal> {
        let Some(sealed) = context.filter(|sealed| !sealed.is_empty()) else {
            return Ok(None);
        };
        let opened = self.edge.door.token_key().open_past(self.scope(), sealed);
        opened
            .map(Some)
            .map_err(|_| Refusal::text("Invalid context"))
    }

    pub(super) fn sealed_past(&self, past: &CausalContext) -> Bytes {
        Bytes::from(self.edge.door.token_key().seal_past(self.scope(), past))
    }

    /// Updates a data type; the object afterwards, if it is asked for.
    pub(super) async fn update(
        &self,
        update: TypeUpdate,
        options: PutOptions,
        return_object: bool,
    ) -> Result<Option<Object>, Refusal> {
        let request = PutRequest {
            return_object,
            ..self.change(update.into(), options)
        };
        self.send(request, Condition::None).await
    }

    /// Writes; the object afterwards, if it is asked for.
    async fn write(&self, write: Write, options: PutOptions) -> Result<Option<Object>, Refusal> {
        let request = PutRequest {
            seen: write.seen.unwrap_or_default(),
            unchanged_since: write.unchanged_since,
            return_object: write.return_object,
            ..self.change(write.content.into(), options)
        };
        self.send(request, write.condition).await
    }

    /// A put by somebody who has seen nothing.
    fn change(&self, change: Change, options: PutOptions) -> PutRequest {
        PutRequest {
            name: self.name.clone(),
            seen: ContextToken::default(),
            operation: OperationId(self.edge.door.random()),
            change,
            unchanged_since: None,
            options,
            return_object: false,
            explain: false,
        }
    }

    async fn send(
        &self,
        request: PutRequest,
        condition: Condition,
    ) -> Result<Option<Object>, Refusal> {
        let done = self.edge.door.put(request, self.clock.left_ms()?).await;
        let done =
            done.map_err(|error| Refusal::of_put(&error, &self.name.bucket_type, condition))?;
        Ok(done.object)
    }
}

/// What is to be written.
struct Write {
    seen: Option<ContextToken>,
    content: Content,
    unchanged_since: Option<Context>,
    condition: Condition,
    return_object: bool,
}

pub(super) async fn get<D: Door>(edge: &Edge<D>, message: GetReq) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Read);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let name = ObjectName {
        bucket_type: bucket_type(message.r#type.as_ref())?,
        bucket: message.bucket,
        key: message.key,
    };
    let call = Call::new(edge, name, message.timeout)?;
    let known = call.seen(message.if_modified.as_ref())?;
    let options = GetOptions {
        quorum: GetSpec {
            r: count(message.r),
            pr: count(message.pr),
            node_confirms: count(message.node_confirms),
            basic_quorum: message.basic_quorum,
            notfound_ok: message.notfound_ok,
        },
        n_val: message.n_val,
        primaries_only: message.sloppy_quorum == Some(false),
    };
    let object = call.fetch(options).await?;
    let versions = values_of(&object, &call.properties);
    edge.door.note_siblings_returned(versions.len());
    let shows_context = !versions.is_empty()
        || (message.deletedvclock == Some(true) && !object.versions().is_empty());
    let mut answer = GetResp::default();
    if known.is_some_and(|known| known.context == *object.context()) && !versions.is_empty() {
        answer.unchanged = Some(true);
    } else {
        let head_only = message.head == Some(true);
        let contents = versions
            .iter()
            .map(|version| content_of(version, head_only));
        answer.content = contents.collect();
        answer.vclock = shows_context.then(|| call.vclock_of(&object));
    }
    admitted.served();
    Ok(Response::Get(answer))
}

pub(super) async fn put<D: Door>(edge: &Edge<D>, message: PutReq) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Write);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let made_up = message
        .key
        .is_none()
        .then(|| Bytes::from(random_name([edge.door.random(), edge.door.random()])));
    let name = ObjectName {
        bucket_type: bucket_type(message.r#type.as_ref())?,
        bucket: message.bucket.clone(),
        key: message.key.clone().or(made_up.clone()).unwrap_or_default(),
    };
    let call = Call::new(edge, name, message.timeout)?;
    if message.content.value.len() > edge.limits.value_bytes {
        let bytes = message.content.value.len();
        return Err(Refusal::text(format!("{{too_large,{bytes}}}")));
    }
    let metadata = metadata_of(&message.content)?.to_fields();
    let seen = call.seen(message.vclock.as_ref())?;
    let guard = guarded(&call, &message, seen.as_ref()).await?;
    let head_only = message.return_body != Some(true);
    let write = Write {
        seen: seen.or(guard.known),
        content: Content::Value {
            bytes: message.content.value.clone(),
            metadata,
        },
        unchanged_since: guard.unchanged_since,
        condition: guard.condition,
        return_object: !head_only || message.return_head == Some(true),
    };
    let options = PutOptions {
        quorum: PutSpec {
            w: count(message.w),
            dw: count(message.dw),
            pw: count(message.pw),
            node_confirms: count(message.node_confirms),
        },
        n_val: message.n_val,
        primaries_only: message.sloppy_quorum == Some(false),
        flush: Flush::AsBucket,
    };
    let object = call.write(write, options).await?;
    let mut answer = PutResp {
        key: made_up,
        ..PutResp::default()
    };
    if let Some(object) = object {
        let versions = values_of(&object, &call.properties);
        let contents = versions
            .iter()
            .map(|version| content_of(version, head_only));
        answer.content = contents.collect();
        answer.vclock = Some(call.vclock_of(&object));
    }
    admitted.served();
    Ok(Response::Put(answer))
}

/// What a condition that held means for the write.
#[derive(Default)]
struct Guard {
    condition: Condition,
    unchanged_since: Option<Context>,
    /// What the client is known to have seen: that there is nothing.
    known: Option<ContextToken>,
}

/// Judges the condition of a put against a look at the object; without one there is no look.
async fn guarded<D: Door>(
    call: &Call<'_, D>,
    message: &PutReq,
    seen: Option<&ContextToken>,
) -> Result<Guard, Refusal> {
    let condition = if message.if_none_match == Some(true) {
        Condition::NoneMatch
    } else if message.if_not_modified == Some(true) {
        Condition::NotModified
    } else {
        return Ok(Guard::default());
    };
    let options = GetOptions {
        n_val: message.n_val,
        primaries_only: message.sloppy_quorum == Some(false),
        ..GetOptions::default()
    };
    let object = call.fetch(options).await?;
    let is_there = !values_of(&object, &call.properties).is_empty();
    let is_as_seen = seen.is_some_and(|seen| seen.context == *object.context());
    match condition {
        Condition::NoneMatch if is_there => return Err(Refusal::text("match_found")),
        Condition::NotModified if !is_there => return Err(Refusal::text("notfound")),
        Condition::NotModified if !is_as_seen => return Err(Refusal::text("modified")),
        _ => {}
    }
    Ok(Guard {
        condition,
        unchanged_since: Some(object.context().clone()),
        known: (condition == Condition::NoneMatch).then(|| token_of(&object)),
    })
}

/// Succeeds also where there is nothing.
pub(super) async fn delete<D: Door>(edge: &Edge<D>, message: DelReq) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Write);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let name = ObjectName {
        bucket_type: bucket_type(message.r#type.as_ref())?,
        bucket: message.bucket,
        key: message.key,
    };
    let call = Call::new(edge, name, message.timeout)?;
    let primaries_only = message.sloppy_quorum == Some(false);
    let rw = count(message.rw);
    let mut seen = call.seen(message.vclock.as_ref())?;
    if seen.is_none() {
        let options = GetOptions {
            quorum: GetSpec {
                r: count(message.r).or(rw),
                pr: count(message.pr),
                ..GetSpec::default()
            },
            n_val: message.n_val,
            primaries_only,
        };
        let object = call.fetch(options).await?;
        if values_of(&object, &call.properties).is_empty() {
            admitted.served();
            return Ok(Response::Deleted);
        }
        seen = Some(token_of(&object));
    }
    let write = Write {
        seen,
        content: Content::Tombstone,
        unchanged_since: None,
        condition: Condition::None,
        return_object: false,
    };
    let asked = PutSpec {
        w: count(message.w),
        dw: count(message.dw),
        pw: count(message.pw),
        ..PutSpec::default()
    };
    let options = PutOptions {
        quorum: delete_put(asked, rw),
        n_val: message.n_val,
        primaries_only,
        flush: Flush::AsBucket,
    };
    call.write(write, options).await?;
    admitted.served();
    Ok(Response::Deleted)
}
