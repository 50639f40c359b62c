//! How many requests a node works on at once (T24).
//!
//! When more comes than can be done, something has to give: either requests are turned away, or they wait, and soon all of
//! them wait for longer than their clients do. Then everything that is done is done in vain, and stays so after the rush is over. So a
//! node turns away at the door what it could only keep waiting.
//!
//! Counting what waits says little, because a hundred requests are a lot for one disk and nothing for another. What tells is *standing*
//! delay: in a burst some requests wait, but in a window of time the fastest one did not; where even the fastest waited, there is a
//! queue that does not go away (Nichols & Jacobson, `CoDel`, ACM Queue 2012). Two windows in a row have to show it: the first after a disk
//! stood still holds nothing but those that waited for it. "Waited" is meant against the least that a request takes when
//! nothing is in its way, which is learnt as TCP Vegas does it (Brakmo & Peterson, 1995), since a disk in another city is slow without any queue.
//!
//! With a standing delay, the limit becomes what was done in the window times how long it should take (Little's law): so many requests in
//! flight keep the node busy and nobody waiting for long. Without one, it grows by an eighth, and again when that can have shown.
//!
//! Invariants:
//! - the limit is never below a floor, so that a node that is slow for another reason is not strangled; a delay that stands although
//!   hardly anything may be in flight for seconds is got used to, in doublings;
//! - with little in flight it grows back to its greatest value within seconds: nothing that has ended is held against anybody.
//!
//! Not here: who counts. Reads and writes wait for different things and have a gate each.

/// So many requests are let in whatever happens.
const FLOOR: u32 = 64;
/// How long the fastest of a window may take: so many times the least, and so much more. Microseconds.
const TIMES_LEAST: u64 = 2;
const DELAY_US: u64 = 50_000;
/// At the floor with a delay for so long: it is none of ours.
const PATIENCE_US: u64 = 3_000_000;
/// After so many windows without anything done, nothing is known any more.
const SILENT_WINDOWS: u64 = 20;

/// How long a window lasts, in microseconds.
pub const WINDOW_US: u64 = 100_000;

/// What happened in a window, or in several of which nothing but the last brought an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub elapsed_us: u64,
    /// Requests that were carried out, and how long the fastest of them took.
    pub served: u32,
    pub fastest_us: Option<u64>,
    /// Requests in flight at once, at most.
    pub most_in_flight: u32,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Gate {
    max: u32,
    limit: u32,
    /// The least that a request takes.
    least_us: Option<u64>,
    /// Requests that can be carried out in a second: as many as in the best of the last windows, the older the less it says.
    per_second: u64,
    /// The last window showed a standing delay.
    is_suspicious: bool,
    /// For how long there has been a standing delay at the floor.
    at_floor_us: u64,
    /// Since the limit grew.
    since_wider_us: u64,
}

impl Gate {
    /// A gate that lets in so many at most, which is what it begins with.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self {
            max: max.max(1),
            limit: max.max(1),
            least_us: None,
            per_second: 0,
            is_suspicious: false,
            at_floor_us: 0,
            since_wider_us: 0,
        }
    }

    /// Requests that may be in flight.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Learns from a window that has ended.
    pub fn advance(&mut self, window: &Window) {
        let Some(fastest_us) = window.fastest_us.filter(|_| window.served > 0) else {
            if window.elapsed_us >= SILENT_WINDOWS * WINDOW_US && window.most_in_flight == 0 {
                self.limit = self.max;
            }
            if self.at_floor_us > 0 {
                self.at_floor_us += window.elapsed_us;
            }
            return;
        };
        let served = u64::from(window.served).saturating_mul(1_000_000);
        self.per_second = (self.per_second / 8 * 7).max(served / window.elapsed_us.max(1));
        let least_us = self
            .least_us
            .map_or(fastest_us, |least| least.min(fastest_us));
        self.least_us = Some(least_us);
        let aim_us = least_us
            .saturating_mul(TIMES_LEAST)
            .saturating_add(DELAY_US);
        self.since_wider_us = self.since_wider_us.saturating_add(window.elapsed_us);
        let was_suspicious = std::mem::replace(&mut self.is_suspicious, fastest_us > aim_us);
        if fastest_us > aim_us {
            if was_suspicious {
                self.narrow(window, aim_us, fastest_us);
            }
        } else if self.since_wider_us >= fastest_us {
            self.at_floor_us = 0;
            self.since_wider_us = 0;
            let wider = self.limit.saturating_add(self.limit / 8 + 1);
            self.limit = wider.min(self.max);
        }
        assert!(self.limit <= self.max, "{self:?}");
    }

    fn narrow(&mut self, window: &Window, aim_us: u64, fastest_us: u64) {
        let in_aim = self.per_second.saturating_mul(aim_us) / 1_000_000;
        let floor = FLOOR.min(self.max);
        self.limit = u32::try_from(in_aim)
            .unwrap_or(u32::MAX)
            .clamp(floor, self.limit.max(floor));
        if self.limit > floor {
            self.at_floor_us = 0;
            return;
        }
        self.at_floor_us += window.elapsed_us;
        if self.at_floor_us >= PATIENCE_US {
            self.at_floor_us = 0;
            self.least_us = self.least_us.map(|least| (least * 2).min(fastest_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const MS: u64 = 1_000;

    /// One server: requests in the order in which they came, a time for each, and a delay that has nothing to do with it.
    struct Server {
        gate: Gate,
        service_us: u64,
        delay_us: u64,
        /// When each request in flight came, the first first.
        queue: VecDeque<u64>,
        free_us: u64,
        now_us: u64,
        window: Window,
        window_began_us: u64,
        shed: u64,
    }

    impl Server {
        fn new(service_us: u64, delay_us: u64) -> Self {
            Self {
                gate: Gate::new(4_096),
                service_us,
                delay_us,
                queue: VecDeque::new(),
                free_us: 0,
                now_us: 0,
                window: Window::default(),
                window_began_us: 0,
                shed: 0,
            }
        }

        /// Requests come at so many times the capacity for so long; those that are done within `patience_us`, of all
        /// that could be done.
        fn run(&mut self, load_percent: u64, seconds: u64, patience_us: u64) -> u64 {
            let end_us = self.now_us + seconds * 1_000_000;
            let pause_us = self.service_us * 100 / load_percent;
            let (mut next_us, mut in_time) = (self.now_us, 0);
            while self.now_us < end_us {
                self.now_us += 100;
                while next_us <= self.now_us {
                    self.arrive(next_us);
                    next_us += pause_us;
                }
                in_time += self.serve(patience_us);
                self.close_window();
            }
            in_time * self.service_us * 100 / (seconds * 1_000_000)
        }

        fn arrive(&mut self, at_us: u64) {
            let in_flight = u32::try_from(self.queue.len()).expect("a few thousand");
            if in_flight >= self.gate.limit() {
                self.shed += 1;
                return;
            }
            self.queue.push_back(at_us);
            self.window.most_in_flight = self.window.most_in_flight.max(in_flight + 1);
        }

        fn serve(&mut self, patience_us: u64) -> u64 {
            let mut in_time = 0;
            while let Some(&came_us) = self.queue.front() {
                let done_us = self.free_us.max(came_us) + self.service_us;
                if done_us + self.delay_us > self.now_us {
                    break;
                }
                self.queue.pop_front();
                self.free_us = done_us;
                let took_us = done_us + self.delay_us - came_us;
                self.window.served += 1;
                let fastest_us = self.window.fastest_us.unwrap_or(took_us).min(took_us);
                self.window.fastest_us = Some(fastest_us);
                in_time += u64::from(took_us <= patience_us);
            }
            in_time
        }

        fn close_window(&mut self) {
            let elapsed_us = self.now_us - self.window_began_us;
            if elapsed_us >= WINDOW_US {
                self.window.elapsed_us = elapsed_us;
                self.gate.advance(&std::mem::take(&mut self.window));
                self.window_began_us = self.now_us;
            }
        }
    }

    #[test]
    fn what_can_be_done_is_done_in_time_however_much_comes() {
        for service_us in [300, 1_000, 5_000] {
            for load_percent in [200, 500] {
                let mut server = Server::new(service_us, 2 * MS);
                assert!(server.run(50, 5, 1_000 * MS) >= 49);
                // The first second is the rush for which there is no limit yet.
                server.run(load_percent, 2, 1_000 * MS);
                let percent = server.run(load_percent, 30, 1_000 * MS);
                assert!(
                    percent >= 95,
                    "{service_us} µs at {load_percent} %: {percent} %"
                );
                // And soon nothing of it is left.
                server.run(50, 5, 1_000 * MS);
                server.shed = 0;
                assert!(server.run(50, 10, 60 * MS) >= 49);
                assert_eq!((server.shed, server.gate.limit()), (0, 4_096));
            }
        }
    }

    /// Clients of a closed loop on a fast node whose disk, or whose peers, are far away.
    #[test]
    fn what_is_slow_without_a_queue_is_left_alone() {
        let mut server = Server::new(200, 300 * MS);
        let percent = server.run(90, 60, 1_000 * MS);
        assert!(percent >= 89, "{percent} %");
        assert_eq!(server.shed, 0);
    }

    /// A disk that stands still for a while now and then, under three quarters of the load that it bears.
    #[test]
    fn a_stall_that_is_over_is_a_reason_to_turn_away_few() {
        let mut server = Server::new(200, MS);
        for _ in 0..20 {
            server.run(75, 3, 1_000 * MS);
            server.free_us = server.now_us + 150 * MS;
        }
        // Two of a hundred, while it makes up for lost time.
        assert!(server.shed < 20 * 3 * 3_750 / 50, "{}", server.shed);
    }

    #[test]
    fn a_delay_that_comes_to_stay_is_got_used_to() {
        let mut server = Server::new(1_000, MS);
        server.run(50, 5, 1_000 * MS);
        server.delay_us = 500 * MS;
        server.run(50, 30, 1_000 * MS);
        let percent = server.run(50, 10, 1_000 * MS);
        assert!(percent >= 49, "{percent} %");
    }

    #[test]
    fn a_gate_that_is_narrower_than_the_floor_stays_so() {
        let mut gate = Gate::new(3);
        for (fastest_us, served) in [(1, 100), (1_000_000, 100), (9_000_000, 0), (u64::MAX, 1)] {
            gate.advance(&Window {
                elapsed_us: WINDOW_US,
                served,
                fastest_us: Some(fastest_us),
                most_in_flight: 3,
            });
            assert_eq!(gate.limit(), 3);
        }
    }
}
