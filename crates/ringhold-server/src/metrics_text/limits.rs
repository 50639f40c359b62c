//! What a node takes on: clients' requests, background work, and what its clock and its disk allow.

use super::{Page, SECONDS};
use ringhold_core::health::Work;
use ringhold_node::{ClockState, Errand, Node};

/// How many clients' requests are let in.
pub(super) fn front_door(page: &mut Page, node: &Node) {
    let errands = [("read", Errand::Read), ("write", Errand::Write)];
    page.head(
        "ringhold_client_requests_limit",
        "gauge",
        "Clients' requests that may be under way now; more are refused.",
    );
    for (name, errand) in errands {
        let (limit, _) = node.client_requests(errand);
        let labels = format!("errand=\"{name}\"");
        page.value("ringhold_client_requests_limit", &labels, limit);
    }
    page.head(
        "ringhold_client_requests_in_flight",
        "gauge",
        "Clients' requests that are under way.",
    );
    for (name, errand) in errands {
        let (_, in_flight) = node.client_requests(errand);
        let labels = format!("errand=\"{name}\"");
        page.value("ringhold_client_requests_in_flight", &labels, in_flight);
    }
}

/// Its clock and its disk.
pub(super) fn machine(page: &mut Page, node: &Node) {
    let (space, is_off) = (
        node.disk_space(),
        matches!(node.clock(), ClockState::Off { .. }),
    );
    page.head(
        "ringhold_clock_offset_seconds",
        "gauge",
        "By how much the clocks of peers are ahead of this node's, in the median.",
    );
    let offset = node.clock_offset_us() as f64 * SECONDS;
    page.value("ringhold_clock_offset_seconds", "", offset);
    let gauges = [
        (
            "ringhold_clock_off",
            "1 if this node coordinates no puts because its clock is too far from its peers'.",
            u64::from(is_off),
        ),
        (
            "ringhold_disk_level",
            "0: room enough. 1: nearly full. 2: no puts but deletes are coordinated. 3: only deletes are taken.",
            node.disk_level() as u64,
        ),
        (
            "ringhold_disk_bytes",
            "Size of the file system under the data directory, without what only root may use.",
            space.total_bytes,
        ),
        (
            "ringhold_disk_available_bytes",
            "What is left of it.",
            space.available_bytes,
        ),
    ];
    for (name, help, value) in gauges {
        page.head(name, "gauge", help);
        page.value(name, "", value);
    }
}

/// Work that nobody waits for.
pub(super) fn background(page: &mut Page, node: &Node) {
    page.head(
        "ringhold_background_share",
        "gauge",
        "The share of the time that background work may have now.",
    );
    for work in Work::ALL {
        let share = node.background_share_thousandths(work) as f64 / 1_000.0;
        page.value("ringhold_background_share", &labels_of(work), share);
    }
    page.head(
        "ringhold_background_waiting",
        "gauge",
        "Who waits for a turn.",
    );
    for work in Work::ALL {
        let waiting = node.metrics().background(work).waiting.level();
        page.value("ringhold_background_waiting", &labels_of(work), waiting);
    }
    page.head(
        "ringhold_background_turns_total",
        "counter",
        "Steps of background work that were granted.",
    );
    for work in Work::ALL {
        let turns = node.metrics().background(work).turns.count();
        page.value("ringhold_background_turns_total", &labels_of(work), turns);
    }
    page.head(
        "ringhold_background_seconds_total",
        "counter",
        "Time that steps of background work took.",
    );
    for work in Work::ALL {
        let took_us = node.metrics().background(work).took_us.count();
        let seconds = took_us as f64 * SECONDS;
        page.value(
            "ringhold_background_seconds_total",
            &labels_of(work),
            seconds,
        );
    }
    page.head(
        "ringhold_background_waited_seconds_total",
        "counter",
        "Time that background work waited for its turns.",
    );
    for work in Work::ALL {
        let waited_us = node.metrics().background(work).waited_us.count();
        let seconds = waited_us as f64 * SECONDS;
        page.value(
            "ringhold_background_waited_seconds_total",
            &labels_of(work),
            seconds,
        );
    }
}

fn labels_of(work: Work) -> String {
    format!("work=\"{}\"", format!("{work:?}").to_lowercase())
}
