//! Index queries and listings of clients, and what must hold of what they find.
//!
//! Every value that clients write has an entry: the number of its operation modulo a few. Now and then a client asks some node
//! for the keys with one of these terms, or with some of them, or for all keys of a bucket, all at once or page by page. The answer is judged
//! when it is complete by its own word; see [`index_queries`](crate::invariants::index_queries).
//!
//! When all has healed and nobody writes any more, everything is asked once more, and must be exactly what the homes hold.

use crate::cluster::Cluster;
use crate::executor::Group;
use crate::invariants::index_queries::{self, Answer, Asked};
use crate::invariants::{Violation, index_rows};
use crate::random::Random;
use crate::rare::Rare;
use crate::run::copies;
use crate::trace::Who;
use bytes::Bytes;
use ringhold_core::coverage::Share;
use ringhold_core::index::{Span, term_order};
use ringhold_core::version::Object;
use ringhold_node::env::Deadline;
use ringhold_node::{Node, Query, QueryFailed};
use ringhold_wire::metadata::{NamedValue, expires_at_us};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The field of the entries.
pub const FIELD: &[u8] = b"turn_int";
/// How many terms there are.
pub const TERMS: u64 = 3;
/// How long a query may take, in microseconds of the run.
const PATIENCE_US: u64 = 8_000_000;
/// Tries at the end, and the pause between them.
const TRIES: u32 = 40;
const PAUSE_US: u64 = 2_000_000;
/// Into how many shares clients cut a query, as a power of two: mostly none, some of several partitions, some of a part of one.
const SHARE_BITS: [u32; 4] = [0, 0, 2, 5];

/// The entry of a write.
#[must_use]
pub fn entry_of(operation: usize) -> NamedValue {
    NamedValue {
        name: Bytes::from_static(FIELD),
        value: Bytes::from(term_of(operation).to_string()),
    }
}

/// Its term.
#[must_use]
pub fn term_of(operation: usize) -> u64 {
    u64::try_from(operation).expect("counts fit") % TERMS
}

/// Which rows are asked for.
fn span_of(asked: &Asked) -> Span {
    let (of_type, bucket) = (b"default", &asked.bucket[..]);
    let Some((first, last)) = asked.terms else {
        return Span::of_bucket(of_type, bucket);
    };
    let order = |term: u64| term_order(FIELD, term.to_string().as_bytes()).expect("a number");
    Span::of_terms(of_type, bucket, FIELD, &order(first), &order(last))
}

/// Something to ask for.
pub fn draw(buckets: &[Bytes], random: &mut Random) -> Asked {
    let first = random.below(TERMS);
    let last = first + random.below(TERMS - first);
    Asked {
        bucket: random.pick(buckets).clone(),
        terms: random.chance(700_000).then_some((first, last)),
        page: random.chance(400_000).then(|| random.between(1, 4)),
        share_bits: *random.pick(&SHARE_BITS),
    }
}

/// Asks a node, and has the answer judged when there is one. Nobody waits for it: whoever falls meanwhile takes it along.
pub fn ask(cluster: &Cluster, number: usize, node: Arc<Node>, asked: Asked) {
    let (cluster, executor) = (cluster.clone(), cluster.around().executor.clone());
    let began_us = executor.now_us();
    let task = async move {
        let trace = &cluster.around().trace;
        let Ok(answer) = answer(&node, &asked).await else {
            return;
        };
        trace.event(Who::Node(number), "query", || {
            format!("{asked:?}: {answer:?}")
        });
        let mut books = cluster.around().books.lock();
        books.now_us = cluster.around().executor.now_us();
        if answer.is_complete {
            cluster.around().rare.hit(Rare::QueryComplete);
        } else {
            cluster.around().rare.hit(Rare::QueryIncomplete);
        }
        if let Err(violation) = index_queries::check(&books, &asked, began_us, &answer) {
            books.fail(violation);
        }
    };
    let executor = executor.clone();
    executor.spawn(Group::WORLD, Box::pin(task));
}

/// All that a query finds, share after share.
async fn answer(node: &Arc<Node>, asked: &Asked) -> Result<Answer, QueryFailed> {
    let deadline = Deadline::after(&**node.environment(), PATIENCE_US);
    let mut answer = Answer {
        is_complete: true,
        ..Answer::default()
    };
    for number in 0..1 << asked.share_bits {
        let share = Share::new(asked.share_bits, number).expect("one of them");
        ask_for_share(node, asked, share, deadline, &mut answer).await?;
    }
    if asked.share_bits > 0 {
        answer.rows.sort();
    }
    Ok(answer)
}

/// What is found in one share of the ring, page after page.
async fn ask_for_share(
    node: &Arc<Node>,
    asked: &Asked,
    share: Share,
    deadline: Deadline,
    answer: &mut Answer,
) -> Result<(), QueryFailed> {
    let mut after = Bytes::new();
    loop {
        let query = Query {
            bucket_type: "default".into(),
            bucket: Some(asked.bucket.clone()),
            span: span_of(asked),
            after: after.clone(),
            filter: None,
            share,
            rows_max: asked.page,
        };
        let mut coverage = node.query(query, deadline).await?;
        while let Some(rows) = coverage.next_rows().await? {
            for found in rows {
                after = found.place.clone();
                let place = (found.place, found.row.key);
                answer.rows.push(place);
            }
        }
        answer.replicas = coverage.replicas_asked();
        answer.is_complete &= coverage.missing().is_empty();
        if !coverage.is_full() {
            return Ok(());
        }
    }
}

/// Asks for everything when nobody writes any more.
///
/// # Errors
/// If an answer is not what the homes hold, or there is none; or if index rows are not those of the objects.
pub async fn check_end(cluster: &Cluster) -> Result<(), Violation> {
    let members = cluster.members();
    for &number in &members {
        if let Some(node) = cluster.node(number) {
            let books = cluster.around().books.lock();
            index_rows::check(&books, number, node.store(), cluster.plan().partitions)?;
        }
    }
    if cluster.has_older_release() {
        // Who does not know the question has no answer.
        return Ok(());
    }
    let names = cluster.around().books.lock().names.clone();
    let mut held: BTreeMap<Bytes, Vec<(usize, Object)>> = BTreeMap::new();
    for (key, name) in names.iter().enumerate() {
        let mut merged = Object::new();
        for (_, object) in copies(cluster, key)? {
            merged.merge(&object);
        }
        held.entry(name.bucket.clone())
            .or_default()
            .push((key, merged));
    }
    for (turn, (bucket, objects)) in held.into_iter().enumerate() {
        let number = members[turn % members.len()];
        for terms in (0..TERMS).map(|term| Some((term, term))).chain([None]) {
            let asked = Asked {
                bucket: bucket.clone(),
                terms,
                page: (turn % 2 == 0).then_some(2),
                share_bits: SHARE_BITS[turn % SHARE_BITS.len()],
            };
            let found = ask_until_complete(cluster, number, &asked).await?;
            let (mut due, mut allowed) = (BTreeSet::new(), BTreeSet::new());
            for (key, object) in &objects {
                let may_end = object.versions().iter().any(|v| expires_at_us(v).is_some());
                let has = index_queries::has(object, cluster.plan().last_write_wins, terms);
                if has || may_end {
                    allowed.insert(names[*key].key.clone());
                }
                if has && !may_end {
                    due.insert(names[*key].key.clone());
                }
            }
            let keys: BTreeSet<Bytes> = found.rows.into_iter().map(|(_, key)| key).collect();
            if !due.is_subset(&keys) || !keys.is_subset(&allowed) {
                let text = format!(
                    "when all has healed, {asked:?} finds {keys:?} by way of n{number}, and the homes hold {due:?}"
                );
                return Err(Violation::new("X2", text));
            }
        }
    }
    Ok(())
}

async fn ask_until_complete(
    cluster: &Cluster,
    number: usize,
    asked: &Asked,
) -> Result<Answer, Violation> {
    for _ in 0..TRIES {
        if let Some(node) = cluster.node(number)
            && let Ok(found) = answer(&node, asked).await
            && found.is_complete
        {
            return Ok(found);
        }
        cluster.around().executor.sleep(PAUSE_US).await;
    }
    let text = format!("n{number} has no complete answer to {asked:?} when all has healed");
    Err(Violation::new("X2", text))
}
