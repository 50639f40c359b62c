//! Requests and replies of every kind.

use super::{
    actor, any_bytes, any_content, any_context, any_dot, any_name, any_object, gossip, index,
    membership, name, object, reaping, text, updates,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use ringhold_core::boot::{Boot, Testimony};
use ringhold_core::health::{DiskLevel, Reported};
use ringhold_core::id::{BootId, NodeId, OperationId};
use ringhold_core::quorum::{
    Count, GetSpec, PutCounts, PutSpec, QuorumViolation, ReplicaKind, Requirement, Shortfall,
};
use ringhold_core::ring::Class;
use ringhold_core::tree::{LeafSum, NodeHash, TreeBasis, TreeTag};
use ringhold_core::version::{ContextToken, Dot, Timestamp};
use ringhold_wire::message::Flush;
use ringhold_wire::message::explain::{Explanation, ReplyNote};
use ringhold_wire::message::peer::{
    BucketProperties, ClientGot, ClientPut, CountRequest, CountedLeaves, LeafEntry, LeafFault,
    LeafKeys, LeavesRequest, MendRequest, Mended, MergeRequest, ObjectDigest, Page, PageRequest,
    Refusal, Reply, Request,
};
use ringhold_wire::message::{
    GetAnswer, GetError, GetOptions, GetRequest, NotStarted, PutAnswer, PutError, PutOptions,
    PutRequest, Rejection, Uncertain,
};

pub(crate) const DOT: Dot = Dot {
    actor: actor(7, 3),
    counter: 2,
};
pub(crate) const REPORTED: Reported = Reported {
    queue_jobs: 12,
    disk_latency_us: 34_567,
    disk: DiskLevel::Low,
    wall_us: 1_790_000_000_000_000,
};
const SHORTFALL: Shortfall = Shortfall {
    requirement: Requirement::PW,
    required: 2,
    obtained: 1,
};
const VIOLATION: QuorumViolation = QuorumViolation {
    requirement: Requirement::DW,
    value: 5,
    n: 3,
};

fn get_request() -> GetRequest {
    let quorum = GetSpec {
        r: Count::All,
        pr: Count::Exact(u32::MAX),
        node_confirms: Count::Default,
        basic_quorum: Some(true),
        notfound_ok: None,
    };
    GetRequest {
        name: name(),
        options: GetOptions {
            quorum,
            n_val: Some(5),
            primaries_only: true,
        },
        explain: true,
    }
}

fn put_request() -> PutRequest {
    let object = super::object();
    let timestamp = object.greatest_timestamp();
    let quorum = PutSpec {
        w: Count::Quorum,
        dw: Count::One,
        pw: Count::Exact(0),
        node_confirms: Count::Default,
    };
    PutRequest {
        name: name(),
        seen: ContextToken {
            context: object.context().clone(),
            timestamp,
        },
        operation: OperationId(0x1234),
        change: object.versions()[0].content.clone().into(),
        unchanged_since: Some(object.context().clone()),
        options: PutOptions {
            quorum,
            n_val: None,
            primaries_only: false,
            flush: Flush::Counted,
        },
        return_object: true,
        explain: false,
    }
}

fn explanation() -> Explanation {
    let note = |node, kind, outcome, dots| {
        let node = NodeId(node);
        ReplyNote {
            node,
            kind,
            after_us: 740,
            outcome: text(outcome),
            dots,
        }
    };
    Explanation {
        coordinator: NodeId(1),
        forwarded_by: Some(NodeId(4)),
        partition: 236,
        preference_list: vec![NodeId(1), NodeId(2), NodeId(3)],
        n: 3,
        required: vec![(Requirement::W, 2), (Requirement::NodeConfirms, 1)],
        replies: vec![
            note(1, ReplicaKind::Primary, "stored durably", vec![DOT]),
            note(4, ReplicaKind::Fallback, "timed out", Vec::new()),
        ],
        met_after_us: Some(741),
    }
}

/// One of each kind.
pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let merge = MergeRequest {
        name: name(),
        object: super::object(),
        flushed: true,
    };
    let properties = BucketProperties {
        bucket_type: text("default"),
        bucket: text("carts"),
        changed_us: 1_700_000_000_000_000,
        changed_by: 3,
        overrides: text("n_val = 5"),
    };
    let mut requests = vec![
        ("ping", Request::Ping),
        ("coordinate", Request::Coordinate(put_request())),
        ("merge", Request::Merge(merge)),
        ("fetch", Request::Fetch(name())),
        ("digest", Request::Digest(name())),
        ("properties", Request::Properties(vec![properties])),
        ("get", Request::Get(get_request())),
        (
            "put",
            Request::Put(ClientPut {
                request: put_request(),
                context: "token".into(),
            }),
        ),
        (
            "coordinate-update",
            Request::Coordinate(updates::of(put_request(), updates::map())),
        ),
        (
            "update",
            Request::Put(ClientPut {
                request: updates::of(put_request(), updates::counter()),
                context: "token".into(),
            }),
        ),
        ("follow", Request::Follow(updates::follow())),
        ("testify", Request::Testify(BOOT)),
        (
            "branches",
            Request::Branches {
                basis: BASIS,
                partition: 255,
            },
        ),
        (
            "leaves",
            Request::Leaves {
                basis: BASIS,
                partition: 255,
                branches: 1 << 31 | 1,
            },
        ),
        ("leaf keys", Request::LeafKeys(some_leaves())),
        ("fetch many", Request::FetchMany(vec![name(), name()])),
        (
            "merge many",
            Request::MergeMany(vec![(name(), super::object())]),
        ),
        (
            "mend",
            Request::Mend(MendRequest {
                with: NodeId(3),
                at: some_leaves(),
            }),
        ),
        (
            "objects",
            Request::Objects(PageRequest {
                partition: 255,
                class: Class(0x305),
                first_leaf: 3,
                last_leaf: 1_023,
                cursor: "here".into(),
            }),
        ),
        (
            "count",
            Request::Count(CountRequest {
                basis: BASIS,
                partition: 255,
                leaves: vec![0, 7, 1_023],
                set_right: true,
            }),
        ),
    ];
    requests.extend(reaping::requests());
    requests.extend(index::requests());
    requests.extend(gossip::requests());
    requests.extend(membership::requests());
    requests
}

fn some_leaves() -> LeavesRequest {
    LeavesRequest {
        basis: BASIS,
        partition: 255,
        leaves: vec![1, 1_023],
    }
}

pub(super) const BASIS: TreeBasis = TreeBasis {
    tag: TreeTag(0x7a6),
    class: Class(0x505),
    homes: 0x403e5,
};

const BOOT: Boot = Boot {
    number: 12,
    id: BootId(0xb007),
};

pub(crate) fn put_errors() -> Vec<PutError> {
    let mut errors = vec![
        PutError::NotStarted(NotStarted::Overloaded),
        PutError::NotStarted(NotStarted::TimedOut),
        PutError::NotStarted(NotStarted::NoReplica),
        PutError::NotStarted(NotStarted::TooFewPrimaries {
            required: 2,
            obtained: 1,
        }),
        PutError::NotStarted(NotStarted::StoreFailed),
        PutError::NotStarted(NotStarted::Starting),
        PutError::NotStarted(NotStarted::ClockOff),
        PutError::NotStarted(NotStarted::DiskFull),
        PutError::Unknown(Uncertain::QuorumNotMet(SHORTFALL)),
        PutError::Unknown(Uncertain::TimedOut),
        PutError::Unknown(Uncertain::Interrupted),
        PutError::Rejected(Rejection::Violation(VIOLATION)),
        PutError::Rejected(Rejection::UnknownBucketType),
        PutError::Rejected(Rejection::ObjectTooLarge {
            bytes: 1 << 40,
            limit: 50 << 20,
        }),
        PutError::Rejected(Rejection::TooManySiblings {
            siblings: 101,
            limit: 100,
        }),
        PutError::Rejected(Rejection::ContextTooLarge {
            entries: 1_025,
            limit: 1_024,
        }),
        PutError::Rejected(Rejection::Modified),
        PutError::Rejected(Rejection::ContextRefused),
    ];
    errors.extend(updates::rejections().into_iter().map(PutError::Rejected));
    errors
}

pub(crate) fn get_errors() -> Vec<GetError> {
    vec![
        GetError::QuorumNotMet(SHORTFALL),
        GetError::TimedOut,
        GetError::Overloaded,
        GetError::Violation(VIOLATION),
        GetError::UnknownBucketType,
    ]
}

const REFUSALS: [Refusal; 12] = [
    Refusal::Overloaded,
    Refusal::Expired,
    Refusal::StoreFailed,
    Refusal::Unreadable,
    Refusal::Rebuilding,
    Refusal::Malformed,
    Refusal::PlacementBehind,
    Refusal::OtherBasis,
    Refusal::Sorting,
    Refusal::OlderProtocol,
    Refusal::OtherBase,
    Refusal::Starting,
];

/// One of each kind, and every reason why not.
pub(crate) fn replies() -> Vec<(String, Reply)> {
    let counts = PutCounts {
        acknowledged: 3,
        durable: 2,
        primaries: 2,
        nodes: 3,
    };
    let put = PutAnswer {
        dot: DOT,
        counts,
        object: Some(super::object()),
        explanation: Some(Box::new(explanation())),
    };
    let kinds = [
        ("pong", Reply::Pong(REPORTED)),
        ("coordinated", Reply::Coordinated(Ok(put))),
        ("merged", Reply::Merged { durable: true }),
        ("fetched", Reply::Fetched(super::object())),
        (
            "digested",
            Reply::Digested(ObjectDigest::of(&super::object())),
        ),
        ("properties kept", Reply::PropertiesKept),
        (
            "got",
            Reply::Got(Ok(ClientGot {
                answer: GetAnswer {
                    object: super::object(),
                    explanation: None,
                },
                context: "token".into(),
            })),
        ),
        (
            "branches",
            Reply::Branches(Box::new(std::array::from_fn(|at| NodeHash(at as u128)))),
        ),
        (
            "leaves",
            Reply::Leaves(vec![std::array::from_fn(|at| LeafSum {
                sum: at as u128,
                keys: 1,
            })]),
        ),
        (
            "leaf keys",
            Reply::LeafKeys(LeafKeys {
                leaves: 2,
                entries: vec![LeafEntry {
                    name: name(),
                    digest: 0xd16e57,
                }],
            }),
        ),
        (
            "fetched many",
            Reply::FetchedMany(vec![Ok(super::object()), Err(Refusal::Unreadable)]),
        ),
        (
            "merged many",
            Reply::MergedMany(vec![Ok(()), Err(Refusal::Overloaded)]),
        ),
        (
            "mended",
            Reply::Mended(Mended {
                leaves: 2,
                keys: 3,
                failed: 1,
                bytes_sent: 400,
                bytes_received: 500,
            }),
        ),
        (
            "objects",
            Reply::Objects(Page {
                objects: vec![(name(), object())],
                cursor: "there".into(),
            }),
        ),
        (
            "counted",
            Reply::Counted(CountedLeaves {
                sums: vec![LeafSum { sum: 5, keys: 1 }, LeafSum::ZERO],
                faults: vec![LeafFault {
                    leaf: 7,
                    unreadable: 2,
                    wrong_sum: true,
                }],
            }),
        ),
        ("said", reaping::reply()),
        ("gossip", gossip::reply()),
        ("gossip taken", Reply::GossipTaken),
        ("testimony: nothing", Reply::Testimony(Testimony::Nothing)),
        ("testimony: earlier", Reply::Testimony(Testimony::Earlier)),
        ("testimony: later", Reply::Testimony(Testimony::Later(BOOT))),
    ];
    let mut replies: Vec<_> = kinds.map(|(label, reply)| (label.to_owned(), reply)).into();
    replies.extend(index::replies().map(|(label, reply)| (label.to_owned(), reply)));
    replies.extend(membership::replies().map(|(label, reply)| (label.to_owned(), reply)));
    replies.extend(
        put_errors()
            .into_iter()
            .map(|e| (format!("{e:?}"), Reply::Coordinated(Err(e)))),
    );
    replies.extend(
        get_errors()
            .into_iter()
            .map(|e| (format!("{e:?}"), Reply::Got(Err(e)))),
    );
    replies.extend(REFUSALS.map(|refusal| (format!("{refusal:?}"), Reply::Refused(refusal))));
    replies
}

fn any_count() -> impl Strategy<Value = Count> {
    prop_oneof![
        Just(Count::Default),
        Just(Count::One),
        Just(Count::Quorum),
        Just(Count::All),
        any::<u32>().prop_map(Count::Exact),
    ]
}

fn any_get() -> impl Strategy<Value = GetRequest> {
    let counts = (any_count(), any_count(), any_count());
    let flags = (any::<Option<bool>>(), any::<Option<bool>>(), any::<bool>());
    (any_name(), counts, flags, any::<Option<u32>>()).prop_map(|(name, counts, flags, n_val)| {
        let ((r, pr, node_confirms), (basic_quorum, notfound_ok, explain)) = (counts, flags);
        let quorum = GetSpec {
            r,
            pr,
            node_confirms,
            basic_quorum,
            notfound_ok,
        };
        GetRequest {
            name,
            options: GetOptions {
                quorum,
                n_val,
                primaries_only: false,
            },
            explain,
        }
    })
}

fn any_put() -> impl Strategy<Value = PutRequest> {
    let counts = (any_count(), any_count(), any_count(), any_count());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let seen = (any_context(), any::<u64>());
    let write = (any::<u128>(), any_content(), of(any_context()));
    (any_name(), seen, write, counts, flags, any::<Option<u32>>()).prop_map(
        |(name, (context, time), (operation, content, unchanged_since), counts, flags, n_val)| {
            let (w, dw, pw, node_confirms) = counts;
            let (primaries_only, return_object, explain) = flags;
            let quorum = PutSpec {
                w,
                dw,
                pw,
                node_confirms,
            };
            PutRequest {
                name,
                seen: ContextToken {
                    context,
                    timestamp: Timestamp(time),
                },
                operation: OperationId(operation),
                change: content.into(),
                unchanged_since,
                options: PutOptions {
                    quorum,
                    n_val,
                    primaries_only,
                    flush: match (explain, return_object) {
                        (false, false) => Flush::AsBucket,
                        (true, false) => Flush::One,
                        (_, true) => Flush::Counted,
                    },
                },
                return_object,
                explain,
            }
        },
    )
}

fn any_properties() -> impl Strategy<Value = BucketProperties> {
    (
        any_bytes(9),
        any_bytes(9),
        any::<u64>(),
        any::<u128>(),
        any_bytes(30),
    )
        .prop_map(|(bucket_type, bucket, changed_us, changed_by, overrides)| {
            BucketProperties {
                bucket_type,
                bucket,
                changed_us,
                changed_by,
                overrides,
            }
        })
}

pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Ping),
        any_put().prop_map(Request::Coordinate),
        (any_put(), updates::any_update())
            .prop_map(|(put, update)| Request::Coordinate(updates::of(put, update))),
        (any_name(), any_object(), any::<bool>()).prop_map(|(name, object, flushed)| {
            Request::Merge(MergeRequest {
                name,
                object,
                flushed,
            })
        }),
        any_name().prop_map(Request::Fetch),
        any_name().prop_map(Request::Digest),
        vec(any_properties(), 0..3).prop_map(Request::Properties),
        any_get().prop_map(Request::Get),
        (any_put(), any_bytes(100))
            .prop_map(|(request, context)| Request::Put(ClientPut { request, context })),
        gossip::any_digest().prop_map(Request::GossipDigest),
        gossip::any_deltas().prop_map(Request::GossipDeltas),
        membership::any_request(),
    ]
}

fn any_note() -> impl Strategy<Value = ReplyNote> {
    let kinds = prop_oneof![Just(ReplicaKind::Primary), Just(ReplicaKind::Fallback)];
    (
        any::<u128>(),
        kinds,
        any::<u64>(),
        any_bytes(20),
        vec(any_dot(), 0..3),
    )
        .prop_map(|(node, kind, after_us, outcome, dots)| ReplyNote {
            node: NodeId(node),
            kind,
            after_us,
            outcome,
            dots,
        })
}

fn any_explanation() -> impl Strategy<Value = Option<Box<Explanation>>> {
    let requirement = prop_oneof![
        Just(Requirement::R),
        Just(Requirement::PR),
        Just(Requirement::W),
        Just(Requirement::DW),
        Just(Requirement::PW),
        Just(Requirement::NodeConfirms),
    ];
    let nodes = (
        any::<u128>(),
        any::<Option<u128>>(),
        vec(any::<u128>().prop_map(NodeId), 0..4),
    );
    let numbers = (any::<u32>(), any::<u32>(), any::<Option<u64>>());
    let required = vec((requirement, any::<u32>()), 0..4);
    let explanation = (nodes, numbers, required, vec(any_note(), 0..3)).prop_map(
        |((coordinator, forwarded_by, preference_list), numbers, required, replies)| {
            let (partition, n, met_after_us) = numbers;
            let (coordinator, forwarded_by) = (NodeId(coordinator), forwarded_by.map(NodeId));
            Box::new(Explanation {
                coordinator,
                forwarded_by,
                partition,
                preference_list,
                n,
                required,
                replies,
                met_after_us,
            })
        },
    );
    of(explanation)
}

pub(crate) fn any_reply() -> impl Strategy<Value = Reply> {
    let counts =
        any::<(u32, u32, u32, u32)>().prop_map(|(acknowledged, durable, primaries, nodes)| {
            PutCounts {
                acknowledged,
                durable,
                primaries,
                nodes,
            }
        });
    let put = (any_dot(), counts, of(any_object()), any_explanation()).prop_map(
        |(dot, counts, object, explanation)| PutAnswer {
            dot,
            counts,
            object,
            explanation,
        },
    );
    let get = (any_object(), any_explanation()).prop_map(|(object, explanation)| GetAnswer {
        object,
        explanation,
    });
    prop_oneof![
        any::<(u32, u64, u64)>().prop_map(|(queue_jobs, disk_latency_us, wall_us)| {
            Reply::Pong(Reported {
                queue_jobs,
                disk_latency_us,
                disk: DiskLevel::Exhausted,
                wall_us,
            })
        }),
        put.prop_map(|answer| Reply::Coordinated(Ok(answer))),
        proptest::sample::select(put_errors()).prop_map(|error| Reply::Coordinated(Err(error))),
        any::<bool>().prop_map(|durable| Reply::Merged { durable }),
        any_object().prop_map(Reply::Fetched),
        any_object().prop_map(|object| Reply::Digested(ObjectDigest::of(&object))),
        Just(Reply::PropertiesKept),
        (get, any_bytes(100))
            .prop_map(|(answer, context)| Reply::Got(Ok(ClientGot { answer, context }))),
        proptest::sample::select(get_errors()).prop_map(|error| Reply::Got(Err(error))),
        proptest::sample::select(REFUSALS.to_vec()).prop_map(Reply::Refused),
        (gossip::any_deltas(), gossip::any_digest())
            .prop_map(|(deltas, wanted)| Reply::Gossip { deltas, wanted }),
        membership::any_reply(),
    ]
}
