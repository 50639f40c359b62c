//! The way to objects that an address names: `http://host:port` over HTTP, `ringhold://host:port` over the native frames
//! ([why](../../../../docs/decisions/0031-how-does-an-operator-name-native-addresses.md)).
//!
//! Both take and give what [`ringhold_client::object`] has, so that a command is written once. Over the native frames a vtag is the text of the
//! version's dot; and how an answer came about (`--explain`) is told over HTTP only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringhold_client::cluster::SCHEME;
use ringhold_client::object::TIMEOUT_DEFAULT;
use ringhold_client::{
    Client, ClientError, Deleted, Fetched, GetOptions, HttpPool, ObjectName, PutOptions, Sibling,
    Stored, Value, new_operation,
};
use ringhold_core::quorum::{Count, GetSpec, PutSpec};
use ringhold_core::version::{Content, ContextToken, Version};
use ringhold_wire::message::peer::{ClientGot, ClientPut};
use ringhold_wire::message::{self, GetRequest, PutAnswer, PutRequest};
use ringhold_wire::metadata::{Metadata, NamedValue};
use tokio::sync::OnceCell;

/// A way to objects.
#[derive(Debug)]
pub(crate) enum Door {
    Http(HttpPool),
    /// Connects when it is used first.
    Native {
        address: String,
        client: OnceCell<Client>,
    },
}

impl Door {
    pub(crate) fn at(address: &str) -> Result<Self, ClientError> {
        if address.starts_with(SCHEME) {
            return Ok(Self::Native {
                address: address.to_owned(),
                client: OnceCell::new(),
            });
        }
        HttpPool::at(address).map(Self::Http)
    }

    pub(crate) async fn get(
        &self,
        name: &ObjectName,
        options: &GetOptions,
    ) -> Result<Fetched, ClientError> {
        match self {
            Self::Http(pool) => pool.get(name, options).await,
            Self::Native { .. } => {
                unexplained(options.explain)?;
                let got = self.read(name, options).await?;
                fetched(&got)
            }
        }
    }

    pub(crate) async fn put(
        &self,
        name: &ObjectName,
        value: &Value,
        options: &PutOptions,
    ) -> Result<Stored, ClientError> {
        if let Self::Http(pool) = self {
            return pool.put(name, value, options).await;
        }
        let content = Content::Value {
            bytes: value.body.clone(),
            metadata: metadata(value)?.to_fields(),
        };
        let answer = self
            .write(name, content, context(options)?, options)
            .await?;
        Ok(Stored {
            dot: Some(answer.dot.to_string()),
            explain: None,
        })
    }

    pub(crate) async fn delete(
        &self,
        name: &ObjectName,
        options: &PutOptions,
    ) -> Result<Deleted, ClientError> {
        if let Self::Http(pool) = self {
            return pool.delete(name, options).await;
        }
        let mut seen = context(options)?;
        if options.context.is_none() {
            let reading = GetOptions {
                quorums: options.quorums.clone(),
                timeout: options.timeout,
                ..GetOptions::default()
            };
            let got = self.read(name, &reading).await?;
            let versions = got.answer.object.siblings();
            if versions
                .iter()
                .all(|version| version.content.is_tombstone())
            {
                return Ok(Deleted::Missing);
            }
            seen = got.context;
        }
        self.write(name, Content::Tombstone, seen, options).await?;
        Ok(Deleted::Done)
    }

    async fn client(&self) -> Result<&Client, ClientError> {
        let Self::Native { address, client } = self else {
            unreachable!("only asked of a native one");
        };
        client
            .get_or_try_init(|| Client::connect(std::slice::from_ref(address)))
            .await
    }

    async fn read(
        &self,
        name: &ObjectName,
        options: &GetOptions,
    ) -> Result<ClientGot, ClientError> {
        let quorum = GetSpec {
            r: count(options.quorums.r.as_deref())?,
            pr: count(options.quorums.pr.as_deref())?,
            ..GetSpec::default()
        };
        let request = GetRequest {
            name: bytes_of(name),
            options: message::GetOptions {
                quorum,
                ..message::GetOptions::default()
            },
            explain: false,
        };
        let timeout = options.timeout.unwrap_or(TIMEOUT_DEFAULT);
        self.client()
            .await?
            .get_object_within(request, timeout)
            .await
    }

    async fn write(
        &self,
        name: &ObjectName,
        content: Content,
        context: Bytes,
        options: &PutOptions,
    ) -> Result<PutAnswer, ClientError> {
        unexplained(options.explain)?;
        let quorum = PutSpec {
            w: count(options.quorums.w.as_deref())?,
            dw: count(options.quorums.dw.as_deref())?,
            pw: count(options.quorums.pw.as_deref())?,
            ..PutSpec::default()
        };
        let name = bytes_of(name);
        let operation = options
            .idempotency_key
            .as_ref()
            .map_or_else(new_operation, |key| name.operation(key.as_bytes()));
        let request = PutRequest {
            name,
            seen: ContextToken::default(),
            operation,
            change: content.into(),
            unchanged_since: None,
            options: message::PutOptions {
                quorum,
                ..message::PutOptions::default()
            },
            return_object: false,
            explain: false,
        };
        let timeout = options.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let put = ClientPut { request, context };
        self.client().await?.put_object_within(put, timeout).await
    }
}

fn bytes_of(name: &ObjectName) -> message::ObjectName {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    message::ObjectName {
        bucket_type: bytes(&name.bucket_type),
        bucket: bytes(&name.bucket),
        key: bytes(&name.key),
    }
}

fn invalid(what: &'static str, problem: &impl ToString) -> ClientError {
    ClientError::Invalid {
        what,
        problem: problem.to_string(),
    }
}

fn unexplained(explain: bool) -> Result<(), ClientError> {
    let problem = "it is told over HTTP only: give --at http://host:port";
    if explain {
        Err(invalid("--explain", &problem))
    } else {
        Ok(())
    }
}

fn count(text: Option<&str>) -> Result<Count, ClientError> {
    text.map_or(Ok(Count::Default), |text| {
        text.parse().map_err(|error| invalid("the quorum", &error))
    })
}

fn context(options: &PutOptions) -> Result<Bytes, ClientError> {
    let text = options.context.as_deref().unwrap_or_default();
    let opened = STANDARD.decode(text);
    let opened = opened.map_err(|error| invalid("the context", &error))?;
    Ok(opened.into())
}

fn metadata(value: &Value) -> Result<Metadata, ClientError> {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let named = |(name, value): &(String, String)| NamedValue {
        name: bytes(name),
        value: bytes(value),
    };
    let end = value.expires_at.as_deref().map(|end| {
        let seconds = end.parse::<u64>();
        let seconds = seconds.map_err(|_| invalid("the end", &"give it in seconds since 1970"))?;
        Ok::<u64, ClientError>(seconds.saturating_mul(1_000_000))
    });
    Ok(Metadata {
        content_type: Some(bytes(&value.content_type)),
        user: value.metadata.iter().map(named).collect(),
        expires_at_us: end.transpose()?,
        ..Metadata::default()
    })
}

fn fetched(got: &ClientGot) -> Result<Fetched, ClientError> {
    let siblings = got.answer.object.siblings();
    let siblings: Result<Vec<Sibling>, ClientError> = siblings.into_iter().map(sibling).collect();
    Ok(Fetched {
        siblings: siblings?,
        context: (!got.context.is_empty()).then(|| STANDARD.encode(&got.context)),
        explain: None,
    })
}

fn sibling(version: &Version) -> Result<Sibling, ClientError> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let (body, fields) = match &version.content {
        Content::Value { bytes, metadata } => (bytes.clone(), metadata.as_slice()),
        Content::Tombstone => (Bytes::new(), &[][..]),
    };
    let said = Metadata::from_fields(fields).map_err(|error| invalid("the metadata", &error))?;
    Ok(Sibling {
        content_type: said.content_type.as_ref().map(text).unwrap_or_default(),
        vtag: version.dot.to_string(),
        deleted: version.content.is_tombstone(),
        metadata: said
            .user
            .iter()
            .map(|pair| (text(&pair.name).to_lowercase(), text(&pair.value)))
            .collect(),
        body,
    })
}
