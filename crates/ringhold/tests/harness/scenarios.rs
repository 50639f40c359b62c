//! What goes wrong, one test each.
//!
//! Today two of a key's three primaries have to be up for a put. So while more than one node is away, refusals are
//! expected and counted; what is never expected is that something acknowledged is gone at the end.

use crate::cluster::NODES;
use crate::process::{self, Around};
use crate::run::{Adversary, Scenario, run};
use crate::tools;
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
        // Mostly one, sometimes two, sometimes all.
        let count = *adversary.random.pick(&[1, 1, 1, 1, 2, 2, 5]);
        let nodes = adversary.draw_nodes(count);
        adversary.note("kill -9", &nodes);
        nodes.iter().for_each(|&node| adversary.cluster.kill(node));
        adversary.hold_ms(200, 1_500);
        nodes.iter().for_each(|&node| adversary.restart(node));
        adversary.hold_ms(300, 1_000);
    }
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
        let count = *adversary.random.pick(&[1, 1, 1, 2, 3, 5]);
        let nodes = adversary.draw_nodes(count);
        adversary.note("SIGSTOP", &nodes);
        let signal = |adversary: &mut Adversary<'_>, signal| {
            nodes
                .iter()
                .for_each(|&node| adversary.cluster.signal(node, signal));
        };
        signal(adversary, Signal::STOP);
        // From a stutter to longer than peers are patient.
        adversary.hold_ms(100, 2_500);
        signal(adversary, Signal::CONT);
        adversary.hold_ms(200, 800);
    }
}

#[test]
fn the_power_fails_of_one_machine_and_of_all() {
    run(&Scenario {
        name: "power",
        needs: |cluster| {
            cluster.disks()?;
            tools::find("xfs_io").map(drop)
        },
        faults: power,
        ..Scenario::default()
    });
}

fn power(adversary: &mut Adversary<'_>) {
    for round in 0..7 {
        let count = if round % 2 == 0 { 1 } else { NODES };
        let nodes = adversary.draw_nodes(count);
        adversary.note("power cut", &nodes);
        adversary.cluster.cut_power(&nodes);
        adversary.hold_ms(0, 1_000);
        nodes.iter().for_each(|&node| adversary.restart(node));
        // Sometimes while it recovers, mostly while clients work.
        adversary.hold_ms(100, 2_000);
    }
}

#[test]
fn flushes_fail() {
    run(&Scenario {
        name: "flush",
        needs: |_| tools::find("strace").map(drop),
        faults: failing_flushes,
        ..Scenario::default()
    });
}

fn failing_flushes(adversary: &mut Adversary<'_>) {
    let power = adversary.cluster.disks().is_ok() && tools::find("xfs_io").is_ok();
    for _ in 0..5 {
        let node = adversary.draw_nodes(1)[0];
        let from = adversary.random.between(1, 60);
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
            adversary.note("power cut", &[node]);
            adversary.cluster.cut_power(&[node]);
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
        for &node in &nodes {
            adversary.cluster.disk(node).free();
            adversary.start_if_ended(node);
        }
        adversary.hold_ms(500, 1_500);
    }
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
