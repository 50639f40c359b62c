//! Tasks and time, in an order that the seed decides.
//!
//! Of all tasks that can go on, one is picked at random and polled; when none can, time jumps to the next
//! timer. So a second passes in as long as its events take, two tasks that are ready at one moment
//! meet in either order, and the same seed gives the same run, poll by poll.
//!
//! Tasks belong to *groups*: one for each life of a simulated process, and one for the world around
//! them. A group can be paused (its tasks stand still while time goes on, as under SIGSTOP) and killed (its
//! tasks are dropped where they stand, as under SIGKILL; what they had asked of disk and network is the
//! world's and goes its own way).
//!
//! Invariants: a task is polled only after it was woken, and never twice for one waking; time never goes
//! back; of a killed group nothing is ever polled again. No lock is held while a task is polled, dropped or
//! woken, or a timer's call is made: all of these come back to the executor.
//!
//! Not here: what time it is on a node's wall ([`crate::clock`]).

use crate::random::Random;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

/// A task that can be moved and has nothing to return.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Call = Box<dyn FnOnce() + Send>;

/// So many polls without time going on mean that tasks wake each other for ever.
const POLLS_AT_ONE_MOMENT_MAX: u64 = 2_000_000;

/// Tasks that live and die together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(usize);

impl Group {
    /// The world's: neither paused nor killed.
    pub const WORLD: Self = Self(0);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupState {
    Running,
    Paused,
    Killed,
}

/// See the module. Clones are the same executor.
#[derive(Clone)]
pub struct Executor {
    state: Arc<Mutex<State>>,
    ready: Arc<Ready>,
}

struct State {
    now_us: u64,
    random: Random,
    slots: Vec<Slot>,
    free: Vec<usize>,
    timers: BTreeMap<(u64, u64), Timer>,
    timers_made: u64,
    groups: Vec<GroupState>,
    /// Woken tasks of paused groups.
    parked: Vec<Arc<TaskWaker>>,
    events: u64,
    polls_at_this_moment: u64,
    trace_hash: u64,
}

struct Slot {
    generation: u64,
    group: Group,
    task: Option<Task>,
    waker: Option<Arc<TaskWaker>>,
}

enum Timer {
    Wake(Waker),
    Call(Call),
}

#[derive(Default)]
struct Ready(Mutex<Vec<Arc<TaskWaker>>>);

struct TaskWaker {
    slot: usize,
    generation: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(Arc::clone(self));
        }
    }
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<TaskWaker>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Executor {
    #[must_use]
    pub fn new(random: Random) -> Self {
        let state = State {
            now_us: 0,
            random,
            slots: Vec::new(),
            free: Vec::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            groups: vec![GroupState::Running],
            parked: Vec::new(),
            events: 0,
            polls_at_this_moment: 0,
            trace_hash: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            ready: Arc::default(),
        }
    }

    /// Microseconds since the beginning of the run.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.lock().now_us
    }

    /// Polls and timers so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// What happened so far, in one number: which task went on when, and whatever was noted.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.lock().trace_hash
    }

    /// Makes a fact part of the trace's hash.
    pub fn note(&self, fact: u64) {
        self.lock().note(fact);
    }

    #[must_use]
    pub fn new_group(&self) -> Group {
        let mut state = self.lock();
        state.groups.push(GroupState::Running);
        Group(state.groups.len() - 1)
    }

    /// Runs a task. One of a killed group is dropped unpolled.
    pub fn spawn(&self, group: Group, task: Task) {
        let mut state = self.lock();
        if state.group(group) == GroupState::Killed {
            drop(state);
            return drop(task);
        }
        let slot = state.free.pop().unwrap_or_else(|| {
            state.slots.push(Slot {
                generation: 0,
                group,
                task: None,
                waker: None,
            });
            state.slots.len() - 1
        });
        let entry = &mut state.slots[slot];
        entry.generation += 1;
        entry.group = group;
        entry.task = Some(task);
        let waker = TaskWaker {
            slot,
            generation: entry.generation,
            queued: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        };
        let waker = Arc::new(waker);
        entry.waker = Some(Arc::clone(&waker));
        drop(state);
        waker.wake();
    }

    /// Makes a call at a moment, or as soon as possible if that has passed.
    pub fn call_at(&self, at_us: u64, call: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        let key = state.timer_key(at_us);
        state.timers.insert(key, Timer::Call(Box::new(call)));
    }

    /// Ends at a moment.
    #[must_use]
    pub fn sleep_until(&self, at_us: u64) -> Sleep {
        Sleep {
            executor: self.clone(),
            at_us,
            timer: None,
        }
    }

    #[must_use]
    pub fn sleep(&self, us: u64) -> Sleep {
        self.sleep_until(self.now_us().saturating_add(us))
    }

    /// Ends after every task that is ready now could have gone on.
    pub async fn yield_now(&self) {
        self.sleep(1).await;
    }

    pub fn pause(&self, group: Group) {
        self.change(group, GroupState::Paused);
    }

    pub fn resume(&self, group: Group) {
        self.change(group, GroupState::Running);
        let parked = std::mem::take(&mut self.lock().parked);
        self.ready.lock().extend(parked);
    }

    /// Drops all tasks of a group. One that is being polled is dropped when that poll returns.
    pub fn kill(&self, group: Group) {
        self.change(group, GroupState::Killed);
        let mut state = self.lock();
        let slots: Vec<usize> = (0..state.slots.len())
            .filter(|&slot| state.slots[slot].group == group && state.slots[slot].waker.is_some())
            .collect();
        let dropped: Vec<Option<Task>> = slots.into_iter().map(|slot| state.vacate(slot)).collect();
        drop(state);
        drop(dropped);
    }

    #[must_use]
    pub fn is_alive(&self, group: Group) -> bool {
        self.lock().group(group) != GroupState::Killed
    }

    #[must_use]
    pub fn is_running(&self, group: Group) -> bool {
        self.lock().group(group) == GroupState::Running
    }

    /// Tasks of a group that have not ended.
    #[must_use]
    pub fn tasks(&self, group: Group) -> usize {
        self.lock()
            .slots
            .iter()
            .filter(|slot| slot.group == group && slot.waker.is_some())
            .count()
    }

    /// Goes one event on, but not past a moment; false if there is nothing to do until then.
    pub fn step(&self, until_us: u64) -> bool {
        match self.pick() {
            Some(waker) => self.poll(waker),
            None => return self.fire(until_us),
        }
        true
    }

    /// Drops every task and timer: they hold the world, and the world holds them.
    pub fn dissolve(&self) {
        loop {
            let mut state = self.lock();
            let timers = std::mem::take(&mut state.timers);
            let parked = std::mem::take(&mut state.parked);
            let slots = std::mem::take(&mut state.slots);
            state.free.clear();
            state
                .groups
                .iter_mut()
                .for_each(|group| *group = GroupState::Killed);
            drop(state);
            let ready = std::mem::take(&mut *self.ready.lock());
            if timers.is_empty() && slots.is_empty() && ready.is_empty() {
                return;
            }
            drop((timers, parked, slots, ready));
        }
    }

    /// One of the tasks that can go on.
    fn pick(&self) -> Option<Arc<TaskWaker>> {
        let mut state = self.lock();
        let mut ready = self.ready.lock();
        if ready.is_empty() {
            return None;
        }
        let at = if ready.len() == 1 {
            0
        } else {
            state.random.index(ready.len())
        };
        Some(ready.swap_remove(at))
    }

    fn poll(&self, waker: Arc<TaskWaker>) {
        let mut state = self.lock();
        let Some(group) = state.holder_of(&waker) else {
            return;
        };
        if state.group(group) == GroupState::Paused {
            state.parked.push(waker);
            return;
        }
        waker.queued.store(false, Ordering::Relaxed);
        let slot = waker.slot;
        let mut task = state.slots[slot]
            .task
            .take()
            .expect("a task that is not being polled is in its slot");
        state.count(slot);
        drop(state);

        let generation = waker.generation;
        let waker = Waker::from(waker);
        let ended = task
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();

        let mut state = self.lock();
        let entry = &mut state.slots[slot];
        if entry.generation == generation && entry.waker.is_some() {
            entry.task = Some(task);
            if !ended {
                return;
            }
            let task = state.vacate(slot);
            drop(state);
            drop(task);
            return;
        }
        // Its group was killed meanwhile.
        drop(state);
        drop(task);
    }

    fn fire(&self, until_us: u64) -> bool {
        let mut state = self.lock();
        let Some(entry) = state
            .timers
            .first_entry()
            .filter(|entry| entry.key().0 <= until_us)
        else {
            if until_us < u64::MAX {
                state.now_us = state.now_us.max(until_us);
            }
            return false;
        };
        let ((at_us, _), timer) = entry.remove_entry();
        if at_us > state.now_us {
            state.now_us = at_us;
            state.polls_at_this_moment = 0;
        }
        state.count(usize::MAX);
        drop(state);
        match timer {
            Timer::Wake(waker) => waker.wake(),
            Timer::Call(call) => call(),
        }
        true
    }

    fn change(&self, group: Group, to: GroupState) {
        assert!(group != Group::WORLD, "the world neither stops nor ends");
        let mut state = self.lock();
        let known = &mut state.groups[group.0];
        if *known != GroupState::Killed {
            *known = to;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn group(&self, group: Group) -> GroupState {
        self.groups[group.0]
    }

    /// The group of the task that this waker stands for, if that has not ended.
    fn holder_of(&self, waker: &TaskWaker) -> Option<Group> {
        let slot = self.slots.get(waker.slot)?;
        (slot.generation == waker.generation && slot.waker.is_some()).then_some(slot.group)
    }

    fn vacate(&mut self, slot: usize) -> Option<Task> {
        self.free.push(slot);
        let entry = &mut self.slots[slot];
        entry.waker = None;
        entry.task.take()
    }

    fn timer_key(&mut self, at_us: u64) -> (u64, u64) {
        self.timers_made += 1;
        (at_us.max(self.now_us), self.timers_made)
    }

    fn count(&mut self, slot: usize) {
        self.events += 1;
        self.polls_at_this_moment += 1;
        assert!(
            self.polls_at_this_moment < POLLS_AT_ONE_MOMENT_MAX,
            "tasks wake each other for ever at {} µs",
            self.now_us
        );
        let fact = self.now_us ^ u64::try_from(slot).unwrap_or(u64::MAX).rotate_left(40);
        self.note(fact);
    }

    fn note(&mut self, fact: u64) {
        self.trace_hash = (self.trace_hash ^ fact)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }
}

/// A wait until a moment; dropped, it leaves no timer behind.
pub struct Sleep {
    executor: Executor,
    at_us: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let executor = self.executor.clone();
        let mut state = executor.lock();
        if state.now_us >= self.at_us {
            return Poll::Ready(());
        }
        match self.timer.and_then(|key| state.timers.get_mut(&key)) {
            Some(Timer::Wake(waker)) if waker.will_wake(context.waker()) => {}
            Some(timer) => *timer = Timer::Wake(context.waker().clone()),
            None => {
                let key = state.timer_key(self.at_us);
                state
                    .timers
                    .insert(key, Timer::Wake(context.waker().clone()));
                self.timer = Some(key);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            let timer = self.executor.lock().timers.remove(&key);
            drop(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(executor: &Executor) {
        while executor.step(u64::MAX) {}
    }

    fn writes(
        executor: &Executor,
        group: Group,
        log: &Arc<Mutex<Vec<(u64, u32)>>>,
        name: u32,
        at_us: u64,
    ) {
        let (clock, log) = (executor.clone(), Arc::clone(log));
        executor.spawn(
            group,
            Box::pin(async move {
                clock.sleep_until(at_us).await;
                log.lock().unwrap().push((clock.now_us(), name));
            }),
        );
    }

    #[test]
    fn time_jumps_from_timer_to_timer() {
        let executor = Executor::new(Random::new(1));
        let log = Arc::default();
        for (name, at_us) in [(1, 30), (2, 10), (3, 20)] {
            writes(&executor, Group::WORLD, &log, name, at_us);
        }
        run(&executor);
        assert_eq!(*log.lock().unwrap(), [(10, 2), (20, 3), (30, 1)]);
    }

    #[test]
    fn the_seed_orders_what_is_ready_at_one_moment() {
        let order = |seed| {
            let executor = Executor::new(Random::new(seed));
            let log = Arc::default();
            (0..6).for_each(|name| writes(&executor, Group::WORLD, &log, name, 0));
            run(&executor);
            let order = log.lock().unwrap().clone();
            (order, executor.trace_hash())
        };
        assert_eq!(order(1), order(1));
        assert!(
            (2..9).any(|seed| order(seed).0 != order(1).0),
            "the seed makes no difference"
        );
    }

    #[test]
    fn a_paused_group_catches_up_and_a_killed_one_never_does() {
        let executor = Executor::new(Random::new(1));
        let (paused, killed) = (executor.new_group(), executor.new_group());
        let log = Arc::default();
        writes(&executor, paused, &log, 1, 10);
        writes(&executor, killed, &log, 2, 10);
        executor.pause(paused);
        executor.call_at(5, {
            let executor = executor.clone();
            move || executor.kill(killed)
        });
        executor.call_at(50, {
            let executor = executor.clone();
            move || executor.resume(paused)
        });
        run(&executor);
        assert_eq!(*log.lock().unwrap(), [(50, 1)]);
        assert_eq!(executor.tasks(killed), 0);
        writes(&executor, killed, &log, 3, 60);
        run(&executor);
        assert_eq!(
            log.lock().unwrap().len(),
            1,
            "nothing starts in a killed group"
        );
    }

    #[test]
    fn a_task_may_kill_its_own_group() {
        let executor = Executor::new(Random::new(1));
        let group = executor.new_group();
        let own = executor.clone();
        executor.spawn(
            group,
            Box::pin(async move {
                own.kill(group);
                own.sleep(1).await;
                unreachable!("its group is dead");
            }),
        );
        run(&executor);
        assert!(!executor.is_alive(group));
    }
}
