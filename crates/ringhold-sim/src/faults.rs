//! The adversary: from time to time it does one of the things that the run's plan allows.
//!
//! Faults overlap: while one lasts, others come. Each that lasts is taken back after a while by whoever
//! began it, and [`Adversary::heal`] takes back all at once. The budget rule is kept here: records
//! and disks of fewer nodes are destroyed than acknowledgements make a quorum.

use crate::cluster::Cluster;
use crate::disk::{DiskFault, DiskImage, Room};
use crate::graves::SKEW_US;
use crate::network::Weather;
use crate::plan::{FaultClass, Profile};
use crate::process::CrashPoint;
use crate::random::Random;
use crate::trace::Who;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// How long a fault that lasts does so, about, in microseconds.
const LASTS_US: u64 = 2_500_000;
/// The same where members have to be away for longer than tombstones are kept.
const AWAY_US: u64 = 70_000_000;
/// Enough for closing a store, on most disks.
const CLOSING_US: u64 = 100_000;

/// See the module.
pub struct Adversary {
    cluster: Cluster,
    random: Random,
    /// The one node whose records may be destroyed in this run.
    victim: usize,
    done: BTreeMap<FaultClass, u64>,
    rotten: Vec<(usize, usize)>,
    /// A copy of the victim's disk.
    copy: Arc<Mutex<Option<DiskImage>>>,
}

impl Adversary {
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        let random = Random::of(cluster.plan().seed, "faults");
        let victim = cluster.plan().victim;
        Self {
            cluster,
            random,
            victim,
            done: BTreeMap::new(),
            rotten: Vec::new(),
            copy: Arc::default(),
        }
    }

    /// Does its worst until a moment of the run; returns itself, to heal what it did.
    pub async fn rage(mut self, until_us: u64) -> Self {
        let executor = self.cluster.around().executor.clone();
        let faults: Vec<FaultClass> = self.cluster.plan().faults.iter().copied().collect();
        if faults.is_empty() {
            executor.sleep_until(until_us).await;
            return self;
        }
        self.set_skew();
        loop {
            let pause_us = self.random.around(self.cluster.plan().calm_us);
            if executor.now_us() + pause_us >= until_us {
                executor.sleep_until(until_us).await;
                return self;
            }
            executor.sleep(pause_us).await;
            let fault = *self.random.pick(&faults);
            // In a run that reaps, clocks are wrong from the start and stay as they are.
            if fault == FaultClass::Skew && self.cluster.plan().reaping {
                continue;
            }
            if self.commit(fault) {
                *self.done.entry(fault).or_default() += 1;
            }
        }
    }

    /// Takes back everything, restarts everybody, and has damaged records removed, as an operator would.
    pub fn heal(&mut self) {
        let cluster = self.cluster.clone();
        cluster
            .around()
            .trace
            .event(Who::World, "heal", || "all faults end".to_owned());
        cluster.network().heal();
        cluster.forget_originals();
        cluster.untangle_disks();
        for node in 0..cluster.plan().nodes {
            cluster.set_old_ring(node, false);
            cluster.disk(node).heal();
            cluster.clock(node).go_on();
            // Reaping is only asked about where no clock jumps.
            if cluster.plan().astray.is_some() && !cluster.plan().reaping {
                cluster.clock(node).set_right();
            }
            cluster.disarm(node);
            cluster.resume(node);
            cluster.start(node);
        }
    }

    /// The damaged records that nobody has replaced: (node, key).
    #[must_use]
    pub fn rotten(&self) -> &[(usize, usize)] {
        &self.rotten
    }

    /// How often each kind of fault was done.
    #[must_use]
    pub fn done(&self) -> &BTreeMap<FaultClass, u64> {
        &self.done
    }

    /// Does one fault; false if it found nothing to do it to.
    fn commit(&mut self, fault: FaultClass) -> bool {
        use FaultClass as F;
        match fault {
            F::Loss | F::Duplication | F::Reordering | F::Spikes | F::Reset | F::Corruption => {
                self.change_weather(fault);
            }
            F::Partition => self.partition(),
            F::Isolation => self.isolate(),
            F::SlowLink => self.slow_link(),
            F::Pause | F::Kill | F::Stop | F::PowerCut | F::Blackout | F::CrashPoint => {
                self.strike(fault);
            }
            F::FailedFlush | F::FullDisk | F::ReadError | F::SlowDisk => self.worsen_disk(fault),
            F::BitRot | F::Forget | F::Wipe => return self.destroy(fault),
            F::RollBack | F::Clone => return self.use_a_copy(fault),
            F::Swap => self.swap_disks(),
            F::OldRing => self.set_old_ring(),
            F::Skew => self.set_skew(),
            F::Jump | F::StoppedClock => self.disturb_clock(fault),
        }
        true
    }

    fn change_weather(&mut self, fault: FaultClass) {
        let severity = *self.random.pick(&[2_000, 20_000, 100_000, 300_000]);
        let rare = severity / 20;
        let mut weather = Weather::default();
        match fault {
            FaultClass::Loss => weather.lost = severity,
            FaultClass::Duplication => weather.twice = severity,
            FaultClass::Spikes => weather.spikes = severity / 2,
            FaultClass::Reset => weather.reset = rare,
            FaultClass::Corruption => weather.flipped = rare,
            _ => {
                weather.reordering = true;
                weather.spikes = 20_000;
            }
        }
        self.say("weather", || format!("{weather:?}"));
        self.cluster.network().set_weather(weather);
        self.later(|cluster| cluster.network().set_weather(Weather::default()));
    }

    /// Cuts the nodes in two, or cuts single ways.
    fn partition(&mut self) {
        let nodes = self.cluster.plan().nodes;
        let both_ways = self.random.chance(600_000);
        let share = *self.random.pick(&[200_000, 500_000]);
        let halves = self.random.chance(500_000);
        let left: Vec<bool> = (0..nodes).map(|_| self.random.chance(500_000)).collect();
        let mut cut = Vec::new();
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                let apart = if halves {
                    left[from] != left[to] && (both_ways || left[from])
                } else {
                    self.random.chance(share)
                };
                if apart {
                    cut.push((from, to));
                    if both_ways {
                        cut.push((to, from));
                    }
                }
            }
        }
        self.block(cut);
    }

    fn isolate(&mut self) {
        let nodes = self.cluster.plan().nodes;
        let alone = self.random.index(nodes);
        let both = (0..nodes)
            .filter(|other| *other != alone)
            .flat_map(|other| [(alone, other), (other, alone)]);
        self.block(both.collect());
    }

    fn block(&mut self, cut: Vec<(usize, usize)>) {
        self.say("partition", || {
            cut.iter()
                .map(|(from, to)| format!("{from}→{to}"))
                .collect::<Vec<_>>()
                .join(" ")
        });
        for &(from, to) in &cut {
            self.cluster.network().set_blocked(from, to, true);
        }
        self.later(move |cluster| {
            cut.iter()
                .for_each(|&(from, to)| cluster.network().set_blocked(from, to, false));
        });
    }

    fn slow_link(&mut self) {
        let nodes = self.cluster.plan().nodes;
        let (from, to) = (self.random.index(nodes), self.random.index(nodes));
        let factor = self.random.between(10, 1_000);
        self.say("slow link", || {
            format!("{from}→{to} takes {factor} times as long")
        });
        self.cluster.network().set_slowness(from, to, factor);
        self.later(move |cluster| cluster.network().set_slowness(from, to, 1));
    }

    fn strike(&mut self, fault: FaultClass) {
        let node = self.random.index(self.cluster.plan().nodes);
        let away_us = if self.cluster.plan().profile == Profile::Reaping {
            AWAY_US
        } else {
            4_000_000
        };
        let back_us = *self.random.pick(&[50_000, 500_000, away_us]);
        self.say("strike", || format!("{fault} n{node}"));
        let cluster = self.cluster.clone();
        match fault {
            FaultClass::Pause => {
                cluster.pause(node);
                self.later(move |cluster| cluster.resume(node));
            }
            FaultClass::Kill => {
                cluster.kill(node);
                cluster.start_later(node, back_us);
            }
            FaultClass::Stop => {
                cluster.stop(node);
                cluster.start_later(node, back_us);
                // Where closing takes longer than that, the start finds a process and leaves it alone.
                self.later(move |cluster| cluster.start(node));
            }
            FaultClass::PowerCut => {
                cluster.cut_power(node);
                cluster.start_later(node, back_us);
            }
            FaultClass::Blackout => {
                for node in 0..cluster.plan().nodes {
                    cluster.cut_power(node);
                    cluster.start_later(node, back_us);
                }
            }
            _ => {
                for node in 0..cluster.plan().nodes {
                    let point = *self.random.pick(&CrashPoint::ALL);
                    let times = u32::try_from(self.random.between(1, 20)).expect("a handful");
                    cluster.arm(node, point, times);
                }
            }
        }
    }

    fn worsen_disk(&mut self, fault: FaultClass) {
        let node = self.random.index(self.cluster.plan().nodes);
        self.say("disk", || format!("{fault} n{node}"));
        let disk = self.cluster.disk(node);
        match fault {
            FaultClass::FailedFlush => {
                let fault = *self.random.pick(&[DiskFault::Flush, DiskFault::Append]);
                disk.fail_next(fault);
            }
            FaultClass::FullDisk => {
                disk.set_room(*self.random.pick(&[
                    Room::None,
                    Room::LogOnly,
                    Room::Used(91),
                    Room::Used(96),
                ]));
                self.later(move |cluster| cluster.disk(node).set_room(Room::Enough));
            }
            FaultClass::ReadError => {
                disk.set_unreadable(*self.random.pick(&[10_000, 300_000]));
                self.later(move |cluster| cluster.disk(node).set_unreadable(0));
            }
            _ => {
                disk.set_slowness(*self.random.pick(&[20, 400, 8_000]));
                self.later(move |cluster| cluster.disk(node).set_slowness(1));
            }
        }
    }

    /// Destroys something of the one node that may be destroyed in this run.
    fn destroy(&mut self, fault: FaultClass) -> bool {
        let (node, cluster) = (self.victim, self.cluster.clone());
        if fault == FaultClass::Wipe {
            if !cluster.has_own_disk(node) {
                return false;
            }
            self.say("destroy", || format!("the disk of n{node}"));
            cluster.wipe(node);
            cluster.start_later(node, 500_000);
            return true;
        }
        // Some of those that are in the engine; others are in the log only.
        let share = *self.random.pick(&[100_000, 500_000, 1_000_000]);
        let mut struck = Vec::new();
        for key in 0..self.cluster.plan().keys {
            let at = self.random.index(64);
            if self.random.chance(share) && strike_record(&cluster, node, key, at, fault) {
                struck.push(key);
            }
        }
        if fault == FaultClass::BitRot {
            self.rotten.extend(struck.iter().map(|&key| (node, key)));
        }
        self.say("destroy", || format!("{fault} keys {struck:?} of n{node}"));
        !struck.is_empty()
    }

    /// Makes a copy of the victim's disk, or uses the one that there is.
    fn use_a_copy(&mut self, fault: FaultClass) -> bool {
        let (node, cluster) = (self.victim, self.cluster.clone());
        if !cluster.has_own_disk(node) {
            return false;
        }
        let made = self.copy().clone();
        let Some(copy) = made else {
            self.copy_victim();
            return false;
        };
        self.say("copy", || format!("{fault} n{node}"));
        if fault == FaultClass::Clone {
            cluster.use_copy(node, &copy);
            cluster.start_later(node, 100_000);
            if self.random.chance(600_000) {
                self.restart_soon(node);
            }
            self.later(move |cluster| cluster.bring_back_original(node));
        } else {
            cluster.roll_back(node, &copy);
            cluster.start_later(node, 500_000);
        }
        if self.random.chance(300_000) {
            *self.copy() = None;
        }
        true
    }

    /// Stops a process that has hardly started, and starts it again.
    fn restart_soon(&mut self, node: usize) {
        let (cluster, executor) = (self.cluster.clone(), self.cluster.around().executor.clone());
        let at_us = executor.now_us() + self.random.between(100_000, 400_000);
        executor.call_at(at_us, move || {
            cluster.stop(node);
            cluster.start_later(node, 200_000);
        });
    }

    fn copy(&self) -> MutexGuard<'_, Option<DiskImage>> {
        self.copy.lock().expect("no holder of this lock panics")
    }

    /// Copies the victim's disk, as its process left it or as it is using it, and lets the process go on.
    fn copy_victim(&mut self) {
        let (node, cluster) = (self.victim, self.cluster.clone());
        if self.random.chance(300_000) {
            *self.copy() = Some(cluster.disk(node).copy());
            return;
        }
        cluster.stop(node);
        let executor = cluster.around().executor.clone();
        let (slot, at_us) = (Arc::clone(&self.copy), executor.now_us() + CLOSING_US);
        executor.call_at(at_us, move || {
            if cluster.has_own_disk(node) {
                let copy = cluster.disk(node).copy();
                *slot.lock().expect("no holder of this lock panics") = Some(copy);
            }
            cluster.start(node);
        });
    }

    fn swap_disks(&mut self) {
        let nodes = self.cluster.plan().nodes;
        let (one, other) = (self.random.index(nodes), self.random.index(nodes));
        let both_own = self.cluster.has_own_disk(one) && self.cluster.has_own_disk(other);
        if one == other || !both_own {
            return;
        }
        self.say("swap", || format!("the disks of n{one} and n{other}"));
        self.cluster.swap_disks(one, other);
        self.cluster.start_later(one, 200_000);
        self.cluster.start_later(other, 200_000);
        self.later(Cluster::untangle_disks);
    }

    fn set_old_ring(&mut self) {
        let node = self.random.index(self.cluster.plan().nodes);
        // Only a store that was served with a ring remembers one.
        if self.cluster.node(node).is_none() {
            return;
        }
        self.say("old ring", || format!("in the data directory of n{node}"));
        self.cluster.kill(node);
        self.cluster.set_old_ring(node, true);
        self.cluster.start_later(node, 200_000);
        self.later(move |cluster| {
            if !cluster.has_old_ring(node) {
                return;
            }
            cluster.set_old_ring(node, false);
            cluster.kill(node);
            cluster.start_later(node, 200_000);
        });
    }

    fn set_skew(&mut self) {
        if !self.cluster.plan().has(FaultClass::Skew) {
            return;
        }
        for node in 0..self.cluster.plan().nodes {
            let most_us: u64 = if self.stays_right(node) {
                1_000_000
            } else if self.cluster.plan().reaping {
                SKEW_US * 9 / 10
            } else {
                *self.random.pick(&[3_600_000_000, 100_000_000_000_000])
            };
            let by_us = self.random.between(0, 2 * most_us);
            let by_us = i64::try_from(by_us).expect("six years fit")
                - i64::try_from(most_us).expect("three years fit");
            let drift = i64::try_from(self.random.below(2_000)).expect("fits") - 1_000;
            self.cluster.clock(node).jump(by_us);
            self.cluster.clock(node).set_drift(drift);
        }
    }

    fn disturb_clock(&mut self, fault: FaultClass) {
        let node = self.random.index(self.cluster.plan().nodes);
        let clock = self.cluster.clock(node);
        self.say("clock", || format!("{fault} n{node}"));
        if fault == FaultClass::StoppedClock {
            clock.stop(self.cluster.around().executor.now_us());
            return self.later(move |cluster| cluster.clock(node).go_on());
        }
        let most_us: u64 = if self.stays_right(node) {
            20_000
        } else {
            *self.random.pick(&[100_000, 30_000_000, 86_400_000_000])
        };
        let by_us = i64::try_from(self.random.below(2 * most_us)).expect("two days fit")
            - i64::try_from(most_us).expect("a day fits");
        clock.jump(by_us);
    }

    /// Whether a node's clock may only be off by little in this run.
    fn stays_right(&self, node: usize) -> bool {
        let astray = self.cluster.plan().astray.as_ref();
        astray.is_some_and(|astray| !astray.contains(&node))
    }

    /// Does something when a fault has lasted long enough.
    fn later(&mut self, end: impl FnOnce(&Cluster) + Send + 'static) {
        let executor = &self.cluster.around().executor;
        let lasts_us = if self.cluster.plan().profile == Profile::Reaping {
            *self.random.pick(&[LASTS_US, LASTS_US, AWAY_US])
        } else {
            LASTS_US
        };
        let at_us = executor.now_us() + self.random.around(lasts_us);
        let cluster = self.cluster.clone();
        executor.call_at(at_us, move || end(&cluster));
    }

    fn say(&self, what: &str, particulars: impl FnOnce() -> String) {
        self.cluster
            .around()
            .trace
            .event(Who::World, what, particulars);
    }
}

/// Takes a record away, or damages it; false if it is not in the engine of a node that runs.
fn strike_record(cluster: &Cluster, node: usize, key: usize, at: usize, fault: FaultClass) -> bool {
    let name = cluster.around().books.lock().names[key].clone();
    let Some(place) = cluster.place(node, &name) else {
        return false;
    };
    match fault {
        FaultClass::Forget => cluster.disk(node).forget(&place, key),
        _ => cluster.disk(node).rot(&place, at, key),
    }
}
