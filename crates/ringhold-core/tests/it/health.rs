//! Health under traces from a seeded generator: how often a living peer is thought down, how soon a dead one is,
//! what second tries cost, and where the share of background work settles.

use proptest::prelude::*;
use ringhold_core::health::admission::{Settings, Target};
use ringhold_core::health::budget::TOKENS_MAX;
use ringhold_core::health::experience::Thresholds;
use ringhold_core::health::{
    Admission, Experience, Grant, LocalPause, Phi, RetryBudget, Standing, Work,
};

const MS: u64 = 1_000;
const S: u64 = 1_000_000;
const HOUR: u64 = 3_600 * S;
const DEADLINE_US: u64 = 500 * MS;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, in_a_million: u64) -> bool {
        self.below(1_000_000) < in_a_million
    }

    /// Mostly around a millisecond, one in a hundred up to 300.
    fn latency_us(&mut self) -> u64 {
        if self.chance(10_000) {
            self.below(300 * MS)
        } else {
            500 + self.below(1_000)
        }
    }
}

/// One second of a node that pings a peer, or probes it while it is down; the moment after.
fn beat(peer: &mut Experience, random: &mut Random, now_us: u64, answers: bool, lost: u64) -> u64 {
    let asks = peer.standing() != Standing::Down || peer.admits_probe(now_us);
    peer.beat(now_us, None);
    if asks {
        let arrives = !random.chance(lost) && !random.chance(lost);
        let latency_us = random.latency_us();
        if answers && arrives {
            peer.answered(now_us + latency_us, latency_us);
        } else {
            peer.silent(now_us + DEADLINE_US, now_us);
        }
    }
    now_us + S
}

#[test]
fn a_living_peer_on_a_lossy_network_is_hardly_ever_down() {
    let (mut downs, hours) = (0, 100);
    let mut random = Random(1);
    let mut peer = Experience::new(Thresholds::default());
    let (mut now_us, mut was) = (0, Standing::Up);
    while now_us < hours * HOUR {
        now_us = beat(&mut peer, &mut random, now_us, true, 10_000);
        downs += u64::from(was != Standing::Down && peer.standing() == Standing::Down);
        was = peer.standing();
    }
    assert!(
        downs < hours / 5,
        "{downs} times in {hours} hours at 1 % loss"
    );
}

#[test]
fn a_dead_peer_is_down_within_four_seconds_and_a_living_one_up_within_eleven() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut peer = Experience::new(Thresholds::default());
        let mut now_us = 0;
        while now_us < 60 * S {
            now_us = beat(&mut peer, &mut random, now_us, true, 1_000);
        }
        let died_us = now_us;
        while peer.standing() != Standing::Down {
            now_us = beat(&mut peer, &mut random, now_us, false, 0);
        }
        assert!(now_us - died_us <= 4 * S, "seed {seed}");
        let gone_for_us = random.below(600) * S;
        while now_us < died_us + gone_for_us {
            now_us = beat(&mut peer, &mut random, now_us, false, 0);
        }
        let back_us = now_us;
        while peer.standing() == Standing::Down {
            now_us = beat(&mut peer, &mut random, now_us, true, 0);
        }
        // The longest opening, then one probe a second.
        assert!(
            now_us - back_us <= 11 * S,
            "seed {seed}: {}",
            now_us - back_us
        );
    }
}

#[test]
fn a_peer_that_answers_every_other_time_does_not_flap() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut peer = Experience::new(Thresholds::default());
        let (mut now_us, mut was, mut changes) = (0, Standing::Up, 0);
        while now_us < HOUR {
            now_us = beat(&mut peer, &mut random, now_us, true, 300_000);
            changes += u64::from(was != peer.standing());
            was = peer.standing();
        }
        // Down and up again takes three failures, an opening, and three answers.
        assert!(
            changes < 3_600 / 6,
            "seed {seed}: {changes} changes in an hour"
        );
    }
}

#[test]
fn busy_traffic_over_a_lossy_network_opens_nothing() {
    // A hundred requests a second overlap; a lost one among them is followed by answers to later ones.
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut peer = Experience::new(Thresholds::default());
        let mut events: Vec<(u64, u64, bool)> = Vec::new();
        for request in 0..6_000 {
            let sent_us = request * 10 * MS;
            let answered = !random.chance(300_000);
            let took_us = if answered {
                random.latency_us()
            } else {
                DEADLINE_US
            };
            events.push((sent_us + took_us, sent_us, answered));
        }
        events.sort_unstable();
        for (now_us, sent_us, answered) in events {
            if answered {
                peer.answered(now_us, now_us - sent_us);
            } else {
                peer.silent(now_us, sent_us);
            }
            assert_ne!(peer.standing(), Standing::Down, "seed {seed} at {now_us}");
        }
    }
}

#[test]
fn phi_stays_low_under_jitter_and_rises_within_seconds_of_a_death() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let mut phi = Phi::new(S, 100 * MS);
        let (mut now_us, mut highest) = (0, 0.0_f64);
        for _ in 0..2_000 {
            phi.heartbeat(now_us);
            now_us += 850 * MS + random.below(300 * MS);
            highest = highest.max(phi.phi(now_us));
        }
        assert!(highest < 3.0, "seed {seed}: {highest}");
        assert!(phi.phi(now_us + 2 * S) > 8.0, "seed {seed}");
    }
}

#[test]
fn phi_grows_with_silence_and_never_with_anything_else() {
    let mut random = Random(7);
    let mut phi = Phi::new(S, 100 * MS);
    (0..100).for_each(|n| phi.heartbeat(n * S + random.below(200 * MS)));
    let mut last = 0.0;
    for silent_us in (0..100 * S).step_by(10_000) {
        let now = phi.phi(99 * S + silent_us);
        assert!(now >= last - 1e-6, "at {silent_us}: {now} after {last}");
        last = now;
    }
}

#[test]
fn an_observer_that_stood_still_blames_nobody() {
    for pause_us in [3 * S, 10 * S, 600 * S] {
        let mut pause = LocalPause::new(250 * MS, 0);
        let mut phi = Phi::new(S, 100 * MS);
        let mut peer = Experience::new(Thresholds::default());
        let mut now_us = 0;
        for tick in 1..400 {
            now_us = tick * 250 * MS;
            assert!(!pause.tick(now_us));
            if tick % 4 == 0 {
                phi.heartbeat(now_us);
            }
        }
        let sent: Vec<u64> = (0..10).map(|n| now_us - n * 20 * MS).collect();
        now_us += pause_us;
        // The deadlines are noticed before the tick, and some after it.
        for (n, sent_us) in sent.into_iter().enumerate() {
            if n == 5 {
                assert!(pause.tick(now_us));
                phi.excuse(now_us);
            }
            now_us += 150 * MS;
            if n >= 5 {
                pause.tick(now_us);
            }
            if !pause.excuses(sent_us, now_us) {
                peer.silent(now_us, sent_us);
            }
        }
        assert_eq!(peer.standing(), Standing::Up, "after {pause_us}");
        assert!(
            phi.phi(now_us) < 8.0,
            "after {pause_us}: {}",
            phi.phi(now_us)
        );
    }
}

proptest! {
    #[test]
    fn second_tries_never_exceed_their_tenth(wants in prop::collection::vec(any::<bool>(), 0..2_000)) {
        let mut budget = RetryBudget::default();
        let (mut requests, mut second_tries) = (0_u64, 0_u64);
        for wants_second in wants {
            if !wants_second {
                budget = budget.after_request();
                requests += 1;
            } else if let Some(after) = budget.after_second_try() {
                budget = after;
                second_tries += 1;
            }
            prop_assert!(10 * second_tries <= 10 * u64::from(TOKENS_MAX) + requests);
        }
    }

    #[test]
    fn down_ends_after_three_answers_and_not_before(steps in prop::collection::vec((0_u8..6, 0_u64..2 * S), 0..300)) {
        let run = || {
            let mut peer = Experience::new(Thresholds::default());
            let (mut now_us, mut standings, mut answers_while_down) = (0, Vec::new(), 0);
            for (step, after_us) in &steps {
                now_us += after_us;
                let was_down = peer.standing() == Standing::Down;
                match step {
                    0 => peer.answered(now_us, after_us / 2),
                    1 => peer.refused(now_us, now_us),
                    2 => peer.silent(now_us, now_us.saturating_sub(DEADLINE_US)),
                    3 => peer.overloaded(now_us, now_us),
                    4 => { peer.admits_probe(now_us); }
                    _ => peer.beat(now_us, None),
                }
                if was_down && matches!(step, 0 | 3) {
                    answers_while_down += 1;
                }
                if was_down && peer.standing() != Standing::Down {
                    assert!(answers_while_down >= 3, "up again after {answers_while_down} answers");
                }
                if peer.standing() != Standing::Down {
                    answers_while_down = 0;
                }
                standings.push(peer.standing());
            }
            standings
        };
        prop_assert_eq!(run(), run());
    }
}

/// A machine whose foreground is slowed by the background that runs: what share was granted in each second, and the 99th
/// percentile of the whole.
struct Machine {
    calm_us: u64,
    /// Added to the latency by a background that runs all the time.
    burden_us: u64,
}

impl Machine {
    fn run(
        &self,
        admission: &mut Admission,
        from_us: u64,
        seconds: u64,
        random: &mut Random,
    ) -> Vec<u64> {
        let mut granted_us = vec![0; usize::try_from(seconds).expect("a few")];
        let (mut ask_us, mut busy_us, mut second_share) = (from_us, 0, 0);
        for tick in 0..seconds * 100 {
            let now_us = from_us + tick * 10 * MS;
            if tick % 100 == 0 {
                (second_share, busy_us) = (busy_us, 0);
            }
            // A request is slowed by the share of the second before.
            let latency_us =
                self.calm_us + self.burden_us * second_share / S + random.below(self.calm_us / 10);
            admission.foreground(now_us, latency_us);
            if now_us < ask_us {
                continue;
            }
            match admission.grant(now_us, Work::Repair) {
                Grant::Now { slice_us } => {
                    ask_us = now_us + slice_us;
                    busy_us += slice_us;
                    granted_us[usize::try_from(tick / 100).expect("a few")] += slice_us;
                }
                Grant::NotBefore(at_us) => ask_us = at_us,
            }
        }
        granted_us
    }
}

#[test]
fn the_share_settles_where_the_foreground_bears_it() {
    let settings = Settings {
        target: Target::Absolute(10 * MS),
        ..Settings::default()
    };
    // (latency added by a full share, least and greatest share of the time on average)
    let rows = [
        (0, 990, 1_000),
        (8 * MS, 990, 1_000),
        (60 * MS, 50, 250),
        (S, 45, 60),
    ];
    for (burden_us, least, greatest) in rows {
        let mut admission = Admission::new(settings, 0);
        let mut random = Random(burden_us);
        let machine = Machine {
            calm_us: MS,
            burden_us,
        };
        let granted_us = machine.run(&mut admission, 0, 1_200, &mut random);
        let settled: u64 = granted_us[300..].iter().sum();
        let thousandths = settled * 1_000 / (900 * S);
        assert!(
            (least..=greatest).contains(&thousandths),
            "{burden_us}: {thousandths}"
        );
    }
}

#[test]
fn no_ten_seconds_pass_without_their_twentieth() {
    let settings = Settings {
        target: Target::Absolute(1),
        ..Settings::default()
    };
    let mut admission = Admission::new(settings, 0);
    let machine = Machine {
        calm_us: MS,
        burden_us: S,
    };
    let granted_us = machine.run(&mut admission, 0, 300, &mut Random(3));
    for (second, window) in granted_us.windows(10).enumerate() {
        let sum_us: u64 = window.iter().sum();
        assert!(
            sum_us >= 10 * S / 20 - 20 * MS,
            "{sum_us} from second {second}"
        );
    }
}

#[test]
fn urgent_work_goes_first_in_turns_and_nothing_starves() {
    let settings = Settings {
        target: Target::Absolute(1),
        ..Settings::default()
    };
    let mut admission = Admission::new(settings, 0);
    let mut granted = [0_u64; Work::ALL.len()];
    let mut ask_us = [0_u64; Work::ALL.len()];
    for now_us in (0..600 * S).step_by(5_000) {
        admission.foreground(now_us, MS);
        for (n, work) in Work::ALL.into_iter().enumerate() {
            if now_us < ask_us[n] {
                continue;
            }
            match admission.grant(now_us, work) {
                Grant::Now { slice_us } => {
                    granted[n] += 1;
                    ask_us[n] = now_us + slice_us;
                }
                Grant::NotBefore(at_us) => ask_us[n] = at_us,
            }
        }
    }
    let total: u64 = granted.iter().sum();
    let [hints, rebuilding, ..] = granted;
    assert!(
        (hints + rebuilding) * 10 > total * 8,
        "these first: {granted:?}"
    );
    assert!(hints.abs_diff(rebuilding) <= 10, "in turns: {granted:?}");
    assert!(
        granted.iter().all(|slices| *slices >= 50),
        "once in ten seconds: {granted:?}"
    );
}
