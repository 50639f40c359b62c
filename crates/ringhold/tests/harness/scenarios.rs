//! What goes wrong, one test each.
//!
//! Today two of a key's three primaries have to be up for a put. So while more than one node is away, refusals are
//! expected and counted; what is never expected is that something acknowledged is gone at the end.

use crate::client;
use crate::cluster::{Cluster, NODES};
use crate::network;
use crate::packets::{Counts, Storm, Weather};
use crate::process::{self, Around};
use crate::run::{Adversary, Scenario, run};
use crate::tools::{self, Missing, must};
use ringhold_sim::random::Random;
use rustix::process::Signal;
use std::time::Duration;

/// A node whose disk fails has this long to step down by itself.
const STEP_DOWN: Duration = Duration::from_secs(10);
const SMALL_DISK_BYTES: u64 = 48 * 1024 * 1024;

#[test]
fn nodes_are_killed_at_random() {
    run(&Scenario {
        name: "kill",
        faults: kill,
        ..Scenario::default()
    });
}

fn kill(adversary: &mut Adversary<'_>) {
    for _ in 0..8 {
        kill_some(adversary);
        adversary.hold_ms(300, 1_000);
    }
}

fn kill_some(adversary: &mut Adversary<'_>) {
    // Mostly one, sometimes two, sometimes all.
    let count = *adversary.random.pick(&[1, 1, 1, 1, 2, 2, NODES]);
    let nodes = adversary.draw_nodes(count);
    adversary.note("kill -9", &nodes);
    nodes.iter().for_each(|&node| adversary.cluster.kill(node));
    adversary.hold_ms(200, 1_500);
    nodes.iter().for_each(|&node| adversary.restart(node));
}

#[test]
fn nodes_stop_and_go_on() {
    run(&Scenario {
        name: "pause",
        faults: pause,
        ..Scenario::default()
    });
}

fn pause(adversary: &mut Adversary<'_>) {
    for _ in 0..8 {
        pause_some(adversary);
        adversary.hold_ms(200, 800);
    }
}

fn pause_some(adversary: &mut Adversary<'_>) {
    let count = *adversary.random.pick(&[1, 1, 1, 2, 3, NODES]);
    let nodes = adversary.draw_nodes(count);
    adversary.note("SIGSTOP", &nodes);
    nodes
        .iter()
        .for_each(|&node| adversary.cluster.signal(node, Signal::STOP));
    // From a stutter to longer than peers are patient.
    adversary.hold_ms(100, 2_500);
    nodes
        .iter()
        .for_each(|&node| adversary.cluster.signal(node, Signal::CONT));
}

#[test]
fn the_power_fails_of_one_machine_and_of_all() {
    run(&Scenario {
        name: "power",
        needs: |cluster| cluster.power(),
        faults: power,
        ..Scenario::default()
    });
}

fn power(adversary: &mut Adversary<'_>) {
    for round in 0..7 {
        cut_power_of(adversary, if round % 2 == 0 { 1 } else { NODES });
        // Sometimes while it recovers, mostly while clients work.
        adversary.hold_ms(100, 2_000);
    }
}

fn cut_power_of(adversary: &mut Adversary<'_>, count: usize) {
    let nodes = adversary.draw_nodes(count);
    adversary.cut_power(&nodes);
    adversary.hold_ms(0, 1_000);
    nodes.iter().for_each(|&node| adversary.restart(node));
}

/// The harness itself under test: disks that only say that they flushed lose what was acknowledged, and that is found.
#[test]
fn a_loss_would_be_found() {
    run(&Scenario {
        name: "liars",
        // Checkpoints on such disks would leave engines that nobody can open.
        settings: &["storage.segment_bytes=67108864"],
        needs: |cluster| {
            cluster.power()?;
            process::tracer_works()
        },
        faults: lying_disks,
        must_lose: true,
        ..Scenario::default()
    });
}

fn lying_disks(adversary: &mut Adversary<'_>) {
    let all: Vec<usize> = (0..NODES).collect();
    adversary.note("flushes that only say so", &all);
    for &node in &all {
        adversary.cluster.kill(node);
        adversary.cluster.start(node, &Around::LyingFlushes);
    }
    adversary.wait_until_connected();
    adversary.hold_ms(1_000, 1_500);
    adversary.cut_power(&all);
    all.iter().for_each(|&node| adversary.restart(node));
}

#[test]
fn flushes_fail() {
    run(&Scenario {
        name: "flush",
        needs: |_| process::tracer_works(),
        faults: failing_flushes,
        ..Scenario::default()
    });
}

fn failing_flushes(adversary: &mut Adversary<'_>) {
    let power = adversary.cluster.power().is_ok();
    for _ in 0..5 {
        let node = adversary.draw_nodes(1)[0];
        let from = adversary.random.between(1, 400);
        adversary.note(&format!("EIO from flush {from} of a thread on"), &[node]);
        adversary.cluster.kill(node);
        adversary
            .cluster
            .start(node, &Around::FailingFlushes { from });
        let watchdog = adversary.watchdog;
        let stepped_down = watchdog.within(STEP_DOWN, || !adversary.cluster.runs(node));
        let how = adversary.cluster.ended(node);
        adversary.note(&format!("ended: {}", how.unwrap_or_default()), &[node]);
        assert!(stepped_down, "a node whose flushes fail goes on");
        // What it said to have written may never reach the disk.
        if power && adversary.random.chance(500_000) {
            adversary.cut_power(&[node]);
        }
        adversary.restart(node);
        adversary.hold_ms(300, 1_500);
    }
}

#[test]
fn disks_fill_up() {
    run(&Scenario {
        name: "full",
        disk_bytes: SMALL_DISK_BYTES,
        needs: |cluster| cluster.disks(),
        faults: full_disk,
        ..Scenario::default()
    });
}

fn full_disk(adversary: &mut Adversary<'_>) {
    for _ in 0..4 {
        let count = *adversary.random.pick(&[1, 1, 2]);
        let nodes = adversary.draw_nodes(count);
        for &node in &nodes {
            let filled = adversary.cluster.disk(node).fill();
            let bytes = filled.expect("the disk is mounted");
            adversary.note(&format!("disk full ({bytes} bytes were free)"), &[node]);
        }
        adversary.hold_ms(1_000, 2_500);
        if adversary.random.chance(500_000) {
            // Whether it can start without room or not, it must not harm what it has.
            nodes
                .iter()
                .for_each(|&node| adversary.start_if_ended(node));
            adversary.hold_ms(300, 800);
        }
        for &node in &nodes {
            adversary.cluster.disk(node).free();
            adversary.start_if_ended(node);
        }
        adversary.hold_ms(500, 1_500);
    }
}

#[test]
fn disks_are_nearly_full() {
    run(&Scenario {
        name: "watermarks",
        disk_bytes: SMALL_DISK_BYTES,
        needs: |cluster| cluster.disks(),
        faults: nearly_full,
        ..Scenario::default()
    });
}

fn nearly_full(adversary: &mut Adversary<'_>) {
    for _ in 0..3 {
        let count = *adversary.random.pick(&[1, 1, 2, 3]);
        let percent = *adversary.random.pick(&[92, 97]);
        let nodes = adversary.draw_nodes(count);
        adversary.note(&format!("disk {percent} % full"), &nodes);
        fill(adversary, &nodes, percent);
        adversary.hold_ms(1_500, 3_000);
        nodes
            .iter()
            .for_each(|&node| adversary.cluster.disk(node).free());
        adversary.hold_ms(500, 2_000);
    }
    everybody_is_nearly_full(adversary);
}

fn fill(adversary: &Adversary<'_>, nodes: &[usize], percent: u64) {
    for &node in nodes {
        let filled = adversary.cluster.disk(node).fill_to(percent);
        filled.expect("the disk is mounted");
    }
}

/// Puts are refused with the reason, deletes are not, and when there is room again nobody has to be told.
fn everybody_is_nearly_full(adversary: &mut Adversary<'_>) {
    let all: Vec<usize> = (0..NODES).collect();
    let address = adversary.cluster.addresses()[0];
    let ask = |method: &str| {
        let plain = [("Content-Type", "text/plain")];
        let answer = client::request(address, method, "/buckets/room/keys/k", &plain, b"v");
        answer.map_or(0, |answer| answer.status)
    };
    let watchdog = adversary.watchdog;
    watchdog.wait_until("a put is taken", || ask("PUT") == 204);
    adversary.note("disk 92 % full", &all);
    fill(adversary, &all, 92);
    watchdog.wait_until("a put is refused for the disks", || ask("PUT") == 507);
    assert_eq!(ask("DELETE"), 204, "deletes are taken by a full disk");
    all.iter()
        .for_each(|&node| adversary.cluster.disk(node).free());
    watchdog.wait_until("puts are taken again", || ask("PUT") == 204);
}

#[test]
fn clocks_jump() {
    run(&Scenario {
        name: "clock",
        needs: |_| process::clock_library().map(drop),
        faults: clock_jumps,
        ..Scenario::default()
    });
}

fn clock_jumps(adversary: &mut Adversary<'_>) {
    const OFFSETS_S: [i64; 9] = [
        -86_400 * 400,
        -86_400,
        -3_600,
        -1,
        0,
        1,
        60,
        86_400,
        86_400 * 400,
    ];
    let file = |adversary: &Adversary<'_>, node| adversary.cluster.file(&format!("clock{node}"));
    for node in 0..NODES {
        process::set_clock(&file(adversary, node), 0);
        let around = Around::Clock(file(adversary, node));
        adversary.cluster.kill(node);
        adversary.cluster.start(node, &around);
    }
    adversary.wait_until_connected();
    for _ in 0..10 {
        let count = *adversary.random.pick(&[1, 1, 2, 5]);
        let nodes = adversary.draw_nodes(count);
        let offset_s = *adversary.random.pick(&OFFSETS_S);
        adversary.note(&format!("clock off by {offset_s} s"), &nodes);
        for &node in &nodes {
            process::set_clock(&file(adversary, node), offset_s);
            // A clock is wrong from the boot on as well as in the middle.
            if adversary.random.chance(300_000) {
                let around = Around::Clock(file(adversary, node));
                adversary.cluster.kill(node);
                adversary.cluster.start(node, &around);
            }
        }
        adversary.hold_ms(500, 1_500);
    }
}

#[test]
fn the_network_falls_apart() {
    run(&Scenario {
        name: "partition",
        needs: network_can_part,
        faults: partitions,
        ..Scenario::default()
    });
}

pub(crate) fn network_can_part(cluster: &Cluster) -> Result<(), Missing> {
    cluster.networks()?;
    // Only trying shows whether this kernel filters packets.
    network::close(cluster, &network::between(&[0], &[1]))?;
    network::open_all(cluster)
}

fn partitions(adversary: &mut Adversary<'_>) {
    for _ in 0..6 {
        close_some(adversary);
        adversary.hold_ms(500, 3_500);
        open_all(adversary);
        adversary.hold_ms(300, 1_500);
    }
    let node = adversary.draw_nodes(1)[0];
    adversary.note("cable pulled", &[node]);
    for (plugged, hold_ms) in [(false, 2_500), (true, 500)] {
        let networks = adversary.cluster.networks();
        must(networks.and_then(|networks| networks.set_cable(node, plugged)));
        adversary.hold_ms(hold_ms, hold_ms + 500);
    }
}

fn close_some(adversary: &mut Adversary<'_>) {
    let nodes = adversary.draw_nodes(NODES);
    let (side, rest) = nodes.split_at(2);
    let (one, other) = side.split_at(1);
    let all_others = network::others(one);
    let (fault, named, ways) = match adversary.random.below(6) {
        0 => (
            "hears no node and is heard by none",
            one,
            network::between(one, &all_others),
        ),
        1 => ("hears no node", one, network::one_way(&all_others, one)),
        2 => (
            "is heard by no node",
            one,
            network::one_way(one, &all_others),
        ),
        3 => ("two apart from three", side, network::between(side, rest)),
        4 => (
            "two apart from three, one way",
            side,
            network::one_way(side, rest),
        ),
        // Everybody reaches somebody, and not everybody everybody.
        _ => ("apart from each other", side, network::between(one, other)),
    };
    adversary.note(fault, named);
    must(network::close(adversary.cluster, &ways));
}

fn open_all(adversary: &mut Adversary<'_>) {
    must(network::open_all(adversary.cluster));
}

#[test]
fn misfortunes_never_come_alone() {
    run(&Scenario {
        name: "together",
        needs: network_can_part,
        faults: together,
        ..Scenario::default()
    });
}

/// Kills, pauses and power cuts while the network is apart, before it is whole again, and before anybody
/// has recovered.
fn together(adversary: &mut Adversary<'_>) {
    let power = adversary.cluster.power().is_ok();
    for _ in 0..5 {
        close_some(adversary);
        for _ in 0..3 {
            match adversary.random.below(4) {
                0 => pause_some(adversary),
                1 if power => cut_power_of(adversary, 1),
                2 if power => cut_power_of(adversary, NODES),
                _ => kill_some(adversary),
            }
            adversary.hold_ms(0, 1_200);
        }
        open_all(adversary);
        adversary.hold_ms(0, 1_500);
    }
}

#[test]
fn packets_come_late_twice_and_out_of_order() {
    run(&Scenario {
        name: "packets",
        needs: |cluster| {
            cluster.networks()?;
            tools::find("iptables-legacy")?;
            // Only trying shows whether this kernel hands packets out.
            let calm = Weather {
                delay_us: 0,
                spikes: 0,
                spike_us: 0,
                duplicates: 0,
            };
            let tried = Storm::begin(cluster.namespace(0), calm, Random::new(0))?;
            tried
                .end()
                .map(drop)
                .map_err(|error| Missing(format!("NFQUEUE: {error}")))
        },
        faults: storms,
        ..Scenario::default()
    });
}

fn storms(adversary: &mut Adversary<'_>) {
    for _ in 0..5 {
        let count = *adversary.random.pick(&[1, 2, 5, 5]);
        let nodes = adversary.draw_nodes(count);
        let weather = Weather {
            delay_us: *adversary.random.pick(&[200, 2_000, 20_000]),
            spikes: *adversary.random.pick(&[0, 10_000, 50_000]),
            // Around the second after which a silent peer counts as away.
            spike_us: adversary.random.between(400_000, 2_500_000),
            duplicates: *adversary.random.pick(&[0, 50_000, 200_000]),
        };
        adversary.note(&format!("{weather:?}"), &nodes);
        let mut storms = Vec::new();
        for &node in &nodes {
            let random = Random::new(adversary.random.next_u64());
            let storm = Storm::begin(adversary.cluster.namespace(node), weather, random);
            storms.push(must(storm));
        }
        adversary.hold_ms(1_500, 3_500);
        let mut total = Counts::default();
        for storm in storms {
            let counts = storm.end().expect("the queue stays open");
            total.packets += counts.packets;
            total.duplicated += counts.duplicated;
            total.overtaken += counts.overtaken;
        }
        adversary.note(&format!("calm again after {total:?}"), &nodes);
        adversary.hold_ms(300, 1_000);
    }
}
