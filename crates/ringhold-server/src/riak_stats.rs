//! What `GET /stats` tells, under the names by which Riak's operators scrape it.
//!
//! Names that end in `_total` count since the node started, all others cover the last minute, times are microseconds. What is
//! observed is counted by powers of two, so a percentile is the upper end of its bucket: true to a factor of two, and never too
//! low.
//!
//! Left out is what a node does not know or does not have: the sizes of objects that gets returned, operations of single replicas,
//! Erlang's processes and memory, and everything about search, MapReduce and replication between clusters. A name that is missing is
//! seen; a 0 that means nothing is believed.

mod machine;
mod minute;

pub(crate) use minute::LastMinute;

use crate::edge::SERVED_RIAK;
use crate::status::node_name;
use minute::{Observed, Sample};
use ringhold_node::Node;
use serde_json::{Map, Value, json};

/// All that is known, by name.
pub(crate) fn stats(node: &Node, minute: &LastMinute) -> Value {
    let mut stats = cluster(node);
    let now = Sample::of(node.metrics());
    operations(&mut stats, &now, &minute.until(&now));
    machine::note(&mut stats, node.disk_space());
    let named = |(name, value): (String, Value)| (name, value);
    // Sorted, as a person looks for a name.
    stats.sort_by(|one, other| one.0.cmp(&other.0));
    Value::Object(stats.into_iter().map(named).collect::<Map<_, _>>())
}

type Stats = Vec<(String, Value)>;

fn cluster(node: &Node) -> Stats {
    let ring = node.ring();
    let members = ring.members();
    let reachable = members
        .iter()
        .filter(|member| member.id != node.id() && node.is_reachable(member.id));
    let connected: Vec<&str> = reachable.map(|member| member.name.as_str()).collect();
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    // An Erlang term, which is what dashboards take apart.
    let owned = members.iter().map(|member| {
        let partitions = ring.partitions_owned(member.id);
        format!("{{'{}',{partitions}}}", member.name)
    });
    let ownership = format!("[{}]", owned.collect::<Vec<_>>().join(","));
    let partitions = ring.partition_count().count();
    let (hints, _) = node.hints_kept();
    let rows = [
        ("riak_kv_version", json!(SERVED_RIAK)),
        ("ringhold_version", json!(env!("CARGO_PKG_VERSION"))),
        ("nodename", json!(node_name(node, node.id()))),
        ("connected_nodes", json!(connected)),
        ("ring_members", json!(names)),
        ("ring_num_partitions", json!(partitions)),
        ("ring_creation_size", json!(partitions)),
        ("ring_ownership", json!(ownership)),
        ("storage_backend", json!("ringhold")),
        ("ringhold_hints_kept", json!(hints)),
    ];
    rows.map(|(name, value)| (name.to_owned(), value)).into()
}

fn operations(stats: &mut Stats, total: &Sample, minute: &Sample) {
    let counts = [
        ("node_gets", total.gets.count(), minute.gets.count()),
        ("node_puts", total.puts.count(), minute.puts.count()),
        ("read_repairs", total.read_repairs, minute.read_repairs),
    ];
    for (name, total, minute) in counts {
        stats.push((name.to_owned(), json!(minute)));
        stats.push((format!("{name}_total"), json!(total)));
    }
    // Riak has no count of the last minute of this one.
    stats.push(("coord_redirs_total".to_owned(), json!(total.puts_forwarded)));
    let observed = [
        ("node_get_fsm_time", &minute.gets),
        ("node_put_fsm_time", &minute.puts),
        ("node_get_fsm_siblings", &minute.siblings),
    ];
    for (name, observed) in observed {
        distribution(stats, name, observed);
    }
}

fn distribution(stats: &mut Stats, name: &str, observed: &Observed) {
    stats.push((format!("{name}_mean"), json!(observed.mean())));
    for (suffix, percent) in [("median", 50), ("95", 95), ("99", 99), ("100", 100)] {
        stats.push((
            format!("{name}_{suffix}"),
            json!(observed.percentile(percent)),
        ));
    }
}
