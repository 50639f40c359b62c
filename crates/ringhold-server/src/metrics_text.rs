//! The node's counts in Prometheus' text format (version 0.0.4), in base units.

mod gossip;
mod limits;

use ringhold_core::health::Standing;
use ringhold_node::Node;
use ringhold_node::metrics::Histogram;
use ringhold_node::peer_health::PeerView;
use std::fmt::{Display, Write as _};

const SECONDS: f64 = 1e-6;

/// All metrics of a node.
pub(crate) fn render(node: &Node) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    requests(&mut page, node);
    replication(&mut page, node);
    anti_entropy(&mut page, node);
    gossip::render(&mut page, node);
    rebuilding(&mut page, node);
    limits::background(&mut page, node);
    reaping(&mut page, node);
    limits::front_door(&mut page, node);
    limits::machine(&mut page, node);
    storage(&mut page, node);
    peers(&mut page, node);
    page.0
}

fn requests(page: &mut Page, node: &Node) {
    let metrics = node.metrics();
    page.head(
        "ringhold_request_duration_seconds",
        "histogram",
        "Time to the answer of gets and puts that this node took.",
    );
    let rows = [
        ("get", "answered", &metrics.gets_answered),
        ("get", "failed", &metrics.gets_failed),
        ("put", "acknowledged", &metrics.puts_acknowledged),
        ("put", "not_started", &metrics.puts_not_started),
        ("put", "unknown", &metrics.puts_unknown),
        ("put", "rejected", &metrics.puts_rejected),
    ];
    for (operation, outcome, histogram) in rows {
        let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\"");
        page.histogram(
            "ringhold_request_duration_seconds",
            &labels,
            histogram,
            SECONDS,
        );
    }
    page.head(
        "ringhold_siblings_returned",
        "histogram",
        "Versions in the answers to gets.",
    );
    page.histogram(
        "ringhold_siblings_returned",
        "",
        &metrics.siblings_returned,
        1.0,
    );
    page.counter(
        "ringhold_puts_forwarded_total",
        "Puts sent on to a primary.",
        metrics.puts_forwarded.count(),
    );
    page.counter(
        "ringhold_updates_sent_whole_total",
        "Updates of data types that a replica could not follow.",
        metrics.updates_sent_whole.count(),
    );
    page.counter(
        "ringhold_hedged_reads_total",
        "Reads that asked one replica more because one was silent.",
        metrics.hedged_reads.count(),
    );
    page.counter(
        "ringhold_hedges_denied_total",
        "Silent replicas that no other was asked for, because the retry budget was spent.",
        metrics.hedges_denied.count(),
    );
    page.head(
        "ringhold_hedge_delay_seconds",
        "gauge",
        "Silence of a replica after which a read asks another one as well.",
    );
    page.value(
        "ringhold_hedge_delay_seconds",
        "",
        node.hedge_us() as f64 * SECONDS,
    );
    page.head(
        "ringhold_requests_shed_total",
        "counter",
        "Requests refused because too many were under way, by who asked.",
    );
    let shed = &metrics.requests_shed;
    for (pool, count) in [
        ("client", shed.client.count()),
        ("replica", shed.replica.count()),
        ("background", shed.background.count()),
    ] {
        let labels = format!("pool=\"{pool}\"");
        page.value("ringhold_requests_shed_total", &labels, count);
    }
}

fn replication(page: &mut Page, node: &Node) {
    let metrics = node.metrics();
    let rows = [
        (
            "ringhold_read_repairs_total",
            "Replicas that a get found behind and repaired.",
            metrics.read_repairs.count(),
        ),
        (
            "ringhold_read_repairs_dropped_total",
            "Repairs left to a later read because there were too many.",
            metrics.read_repairs_dropped.count(),
        ),
        (
            "ringhold_hints_delivered_total",
            "Objects kept for others that every home has given a receipt for.",
            metrics.hints_delivered.count(),
        ),
        (
            "ringhold_stand_ins_total",
            "Fallbacks that a put asked because a replica failed or was silent.",
            metrics.stand_ins.count(),
        ),
        (
            "ringhold_operations_repeated_total",
            "Retries that were given the dot of their first try.",
            metrics.operations_repeated.count(),
        ),
        (
            "ringhold_epochs_restarted_total",
            "Keys on which this store had to take a fresh epoch.",
            metrics.epochs_restarted.count(),
        ),
        (
            "ringhold_boots_doubted_total",
            "1 if this start took a new incarnation because too few members confirmed the old one.",
            metrics.boots_doubted.count(),
        ),
        (
            "ringhold_own_dot_ahead_total",
            "Contexts that knew more of this store than it does. Must stay 0.",
            metrics.own_dot_ahead.count(),
        ),
        (
            "ringhold_unreadable_records_total",
            "Records that could not be read back.",
            metrics.unreadable_records.count(),
        ),
    ];
    for (name, help, count) in rows {
        page.counter(name, help, count);
    }
    let (rows, bytes) = node.hints_kept();
    page.head(
        "ringhold_hints_kept",
        "gauge",
        "Objects that this node keeps for others.",
    );
    page.value("ringhold_hints_kept", "", rows);
    page.head("ringhold_hints_bytes", "gauge", "Their bytes.");
    page.value("ringhold_hints_bytes", "", bytes);
    let ring = node.ring();
    page.head(
        "ringhold_partitions_owned",
        "gauge",
        "Partitions that this node owns.",
    );
    page.value(
        "ringhold_partitions_owned",
        "",
        ring.partitions_owned(node.id()) as u64,
    );
    page.head(
        "ringhold_ring_epoch",
        "gauge",
        "The ring's epoch that this node knows.",
    );
    page.value("ringhold_ring_epoch", "", ring.document().epoch.0);
}

fn anti_entropy(page: &mut Page, node: &Node) {
    let metrics = node.metrics();
    let rows = [
        (
            "ringhold_exchanges_total",
            "Comparisons of a partition's hash tree with another home's.",
            metrics.exchanges.count(),
        ),
        (
            "ringhold_keys_mended_total",
            "Keys in which homes differed, and that were merged both ways.",
            metrics.keys_mended.count(),
        ),
        (
            "ringhold_exchanges_refused_total",
            "Comparisons refused because the other end's hash trees are made otherwise, or for other nodes.",
            metrics.exchanges_refused.count(),
        ),
        (
            "ringhold_leaves_set_right_total",
            "Leaf sums that the scrub found wrong: something changed on disk without a write.",
            metrics.leaves_set_right.count(),
        ),
        (
            "ringhold_index_rows_set_right_total",
            "Objects whose index rows the scrub found to be others than theirs.",
            metrics.rows_set_right.count(),
        ),
        (
            "ringhold_queries_total",
            "Listings and index queries that this node coordinated.",
            metrics.queries.count(),
        ),
        (
            "ringhold_query_pages_failed_total",
            "Pages of listings and index queries for which another home had to be asked.",
            metrics.query_pages_failed.count(),
        ),
        (
            "ringhold_query_rows_settled_total",
            "Index rows on which homes did not agree, so that the key was read.",
            metrics.query_rows_settled.count(),
        ),
        (
            "ringhold_leaves_sorted_total",
            "Leaves whose keys were told apart anew because their buckets have another number of replicas.",
            metrics.leaves_sorted.count(),
        ),
    ];
    for (name, help, count) in rows {
        page.counter(name, help, count);
    }
    page.head(
        "ringhold_exchange_bytes_total",
        "counter",
        "Encoded requests of comparisons that this node began, and the replies to them.",
    );
    let directions = [
        ("sent", &metrics.exchange_bytes_sent),
        ("received", &metrics.exchange_bytes_received),
    ];
    for (direction, bytes) in directions {
        let labels = format!("direction=\"{direction}\"");
        page.value("ringhold_exchange_bytes_total", &labels, bytes.count());
    }
}

/// What its store may have lost, and makes up for.
fn rebuilding(page: &mut Page, node: &Node) {
    let metrics = node.metrics();
    let rows = [
        (
            "ringhold_reads_in_doubt_total",
            "Questions of coordinators that this store could not answer, because it may have lost the key.",
            metrics.reads_in_doubt.count(),
        ),
        (
            "ringhold_objects_rebuilt_total",
            "Objects that this process took over to make up for what its store had lost.",
            node.objects_rebuilt(),
        ),
        (
            "ringhold_stores_rebuilt_total",
            "1 if this process made up for what its store had lost.",
            metrics.stores_rebuilt.count(),
        ),
    ];
    for (name, help, count) in rows {
        page.counter(name, help, count);
    }
    let in_doubt = node
        .rebuild_progress()
        .map_or(0, |progress| progress.partitions_in_doubt as u64);
    page.head(
        "ringhold_partitions_in_doubt",
        "gauge",
        "Partitions whose keys this node may have lost and is fetching from the others.",
    );
    page.value("ringhold_partitions_in_doubt", "", in_doubt);
}

fn reaping(page: &mut Page, node: &Node) {
    let metrics = node.metrics();
    page.counter(
        "ringhold_tombstones_reaped_total",
        "Tombstones and expired values that this node's store has removed.",
        metrics.tombstones_reaped.count(),
    );
    page.counter(
        "ringhold_versions_expired_total",
        "Values past their time that answers did not show.",
        metrics.versions_expired.count(),
    );
    page.head(
        "ringhold_reaping_kept_total",
        "counter",
        "Candidates for reaping that were kept, each time they were looked at.",
    );
    let rows = [
        ("a member could not be asked", &metrics.reaping_obstructed),
        ("a member has a stray", &metrics.reaping_strays),
        ("a primary has something else", &metrics.reaping_unlike),
    ];
    for (why, count) in rows {
        let label = format!("why=\"{why}\"");
        page.value("ringhold_reaping_kept_total", &label, count.count());
    }
}

fn storage(page: &mut Page, node: &Node) {
    let figures = node.store().figures();
    let metrics = node.metrics();
    page.head(
        "ringhold_group_commit_batch_size",
        "histogram",
        "Jobs in one commit of a partition group.",
    );
    page.histogram(
        "ringhold_group_commit_batch_size",
        "",
        &metrics.group_commit_batch_size,
        1.0,
    );
    let counters = [
        (
            "ringhold_storage_appends_total",
            "Appends to the commit log.",
            figures.appends,
        ),
        (
            "ringhold_storage_syncs_total",
            "Flushes of the commit log.",
            figures.flushes,
        ),
        (
            "ringhold_storage_commits_total",
            "Batches committed.",
            figures.commits,
        ),
        (
            "ringhold_storage_writes_total",
            "Records written to the commit log.",
            figures.writes,
        ),
        (
            "ringhold_storage_checkpoints_total",
            "Checkpoints into the engine.",
            figures.checkpoints,
        ),
        (
            "ringhold_storage_checkpoints_failed_total",
            "Checkpoints that failed.",
            metrics.checkpoints_failed.count(),
        ),
    ];
    for (name, help, count) in counters {
        page.counter(name, help, count);
    }
    let gauges = [
        (
            "ringhold_storage_log_segments",
            "Log segments on disk.",
            figures.segments,
        ),
        (
            "ringhold_storage_segment_bytes",
            "Bytes in the newest log segment.",
            figures.segment_bytes,
        ),
        (
            "ringhold_storage_buffer_bytes",
            "Bytes in the buffer.",
            figures.buffer_bytes,
        ),
        (
            "ringhold_storage_engine_bytes",
            "Bytes of the engine's files.",
            figures.engine_bytes,
        ),
        (
            "ringhold_storage_quarantined_segments",
            "Log segments set aside as corrupt.",
            figures.quarantined_segments,
        ),
    ];
    for (name, help, value) in gauges {
        page.head(name, "gauge", help);
        page.value(name, "", value);
    }
}

fn peers(page: &mut Page, node: &Node) {
    page.head(
        "ringhold_peer_reachable",
        "gauge",
        "1 if requests to the member are answered, by this node's own experience.",
    );
    let ring = node.ring();
    let members = ring.members().iter();
    let peers: Vec<(String, Standing, PeerView)> = members
        .filter_map(|member| {
            let labels = format!("peer=\"{}\"", escape(&member.name));
            Some((labels, node.standing(member.id), node.peer_view(member.id)?))
        })
        .collect();
    for (labels, standing, _) in &peers {
        let reachable = u64::from(*standing != Standing::Down);
        page.value("ringhold_peer_reachable", labels, reachable);
    }
    page.head(
        "ringhold_peer_slow",
        "gauge",
        "1 if the member answers and is asked last: overloaded, a slow disk, or far slower than the others.",
    );
    for (labels, standing, _) in &peers {
        let slow = u64::from(*standing == Standing::Slow);
        page.value("ringhold_peer_slow", labels, slow);
    }
    let gauges: [PeerGauge; 4] = [
        (
            "ringhold_peer_phi",
            "How unlikely the member's silence is: 8 is one time in a hundred million.",
            |view| Some(view.phi),
        ),
        (
            "ringhold_peer_latency_seconds",
            "How long the member takes to answer, in an average that forgets.",
            |view| Some(view.latency_us? as f64 * SECONDS),
        ),
        (
            "ringhold_peer_queue_jobs",
            "Jobs in the member's longest queue, as it reports.",
            |view| Some(f64::from(view.reported?.queue_jobs)),
        ),
        (
            "ringhold_peer_disk_latency_seconds",
            "How long the member's disk takes for a commit, as it reports.",
            |view| Some(view.reported?.disk_latency_us as f64 * SECONDS),
        ),
    ];
    for (name, help, of) in gauges {
        page.head(name, "gauge", help);
        for (labels, _, view) in &peers {
            of(view)
                .into_iter()
                .for_each(|value| page.value(name, labels, value));
        }
    }
    page.counter(
        "ringhold_peers_gone_down_total",
        "How often a member was taken for down after failures in a row.",
        node.metrics().peers_gone_down.count(),
    );
}

/// A name, what it means, and what it is for one peer, where it is known.
type PeerGauge = (&'static str, &'static str, fn(&PeerView) -> Option<f64>);

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) {
        self.head(name, "counter", help);
        self.value(name, "", count);
    }

    fn value(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {value}"));
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram, unit: f64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, up_to) in histogram.cumulative() {
            let bound = bound as f64 * unit;
            self.line(format_args!(
                "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {up_to}"
            ));
            count = up_to;
        }
        self.line(format_args!(
            "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"
        ));
        let braces = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        self.line(format_args!(
            "{name}_sum{braces} {}",
            histogram.sum() as f64 * unit
        ));
        self.line(format_args!("{name}_count{braces} {count}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing to a string can't fail");
    }
}

fn escape(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_ends_in_infinity() {
        let histogram = Histogram::default();
        [1, 3, 1_000_000]
            .into_iter()
            .for_each(|us| histogram.observe(us));
        let mut page = Page(String::new());
        page.histogram("h", "a=\"b\"", &histogram, 1.0);
        let text = page.0;
        assert!(text.contains("h_bucket{a=\"b\",le=\"1\"} 1\n"), "{text}");
        assert!(text.contains("h_bucket{a=\"b\",le=\"4\"} 2\n"), "{text}");
        assert!(text.contains("h_bucket{a=\"b\",le=\"+Inf\"} 3\n"), "{text}");
        assert!(
            text.ends_with("h_sum{a=\"b\"} 1000004\nh_count{a=\"b\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
