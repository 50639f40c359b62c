//! The workers: they take operations from a common counter, wait for their turn, do and record.
//!
//! In an open loop a thread of its own releases one permit for each operation that is due. Timers of
//! an async runtime are coarse (a millisecond), which is as long as a request takes here; a thread
//! that sleeps is twenty times finer and costs next to nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_client::ClientError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bench::driver::Driver;
use crate::bench::keys::Keys;
use crate::bench::measured::Measured;
use crate::bench::schedule::{Draws, Schedule};
use crate::cli::{BenchArgs, Workload};
use crate::output::{Failure, progress_bar};
use crate::random;

/// A pause of the releasing thread: it must notice soon that the run is over.
const RELEASE_PAUSE_MAX: Duration = Duration::from_millis(100);
/// After the end of an open loop, operations that are due are still started for this long. What is
/// left then shows that the cluster can't keep the rate; working it off would tell nothing more.
const BACKLOG_GRACE: Duration = Duration::from_secs(2);
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);
/// So many books for what is measured: enough for threads not to wait for each other.
const BOOKS: usize = 8;
const FAILURE_PAUSE: Duration = Duration::from_millis(20);
const PREFILL_ATTEMPTS: u32 = 5;
const PREFILL_PAUSE: Duration = Duration::from_millis(200);

/// What is done, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    workload: Workload,
    gets_percent: u64,
    with_context: bool,
    keys: u64,
    drawn: Keys,
    random_seed: u64,
    connections: usize,
    value: Bytes,
    in_time: Duration,
    end: End,
    schedule: Option<Schedule>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    After(Duration),
    Operations(u64),
}

impl Load {
    pub(crate) fn new(arguments: &BenchArgs) -> Result<Self, Failure> {
        let schedule = match arguments.rate {
            None => None,
            Some(rate) => Some(Schedule::new(rate).ok_or_else(|| {
                Failure::usage(format!("--rate {rate}: write operations a second, above 0"))
            })?),
        };
        let mut value = vec![0; arguments.value_bytes];
        Draws::new(1).fill(&mut value);
        Ok(Self {
            workload: arguments.workload,
            gets_percent: arguments.gets_percent.into(),
            with_context: arguments.with_context || arguments.workload == Workload::Rmw,
            keys: arguments.keys,
            drawn: Keys::new(arguments)?,
            random_seed: arguments.random_seed.unwrap_or_else(random::number),
            connections: usize::from(arguments.connections),
            value: Bytes::from(value),
            in_time: Duration::from_millis(arguments.in_time_ms),
            end: arguments
                .operations
                .map_or(End::After(arguments.duration), End::Operations),
            schedule,
        })
    }

    /// Puts each key once, over what there is.
    pub(crate) async fn prefill(&self, drivers: &[Arc<dyn Driver>]) -> Result<(), Failure> {
        let bar = progress_bar(self.keys, "keys put");
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for worker in 0..self.connections {
            let driver = drivers[worker % drivers.len()].clone();
            let (next, bar, load) = (next.clone(), bar.clone(), self.clone());
            workers.spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= load.keys {
                        return Ok(());
                    }
                    load.put_over(driver.as_ref(), &key(index)).await?;
                    bar.inc(1);
                }
            });
        }
        while let Some(joined) = workers.join_next().await {
            let result: Result<(), ClientError> = joined.unwrap_or_else(resume);
            result?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Puts one key over what there is; a cluster that is busy is given a few chances.
    async fn put_over(&self, driver: &dyn Driver, key: &str) -> Result<(), ClientError> {
        let mut attempts = 1;
        loop {
            let result = match driver.get(key).await {
                Ok(found) => driver.put(key, self.value.clone(), found.context).await,
                Err(error) => Err(error),
            };
            match result {
                Err(error) if error.is_passing() && attempts < PREFILL_ATTEMPTS => attempts += 1,
                result => return result,
            }
            tokio::time::sleep(PREFILL_PAUSE).await;
        }
    }

    /// The same, of other keys, in a closed loop with one request in flight, for this long.
    pub(crate) fn alone(&self, duration: Duration) -> Self {
        Self {
            random_seed: Draws::new(self.random_seed).number(),
            connections: 1,
            schedule: None,
            end: End::After(duration),
            ..self.clone()
        }
    }

    /// Runs to its end.
    pub(crate) async fn run(&self, drivers: &[Arc<dyn Driver>]) -> Measured {
        let run = Arc::new(Run {
            load: self.clone(),
            started: Instant::now(),
            next: AtomicU64::new(0),
            permits: Semaphore::new(0),
            over: AtomicBool::new(false),
            books: (0..BOOKS).map(|_| Mutex::default()).collect(),
        });
        if let Some(schedule) = self.schedule {
            let run = run.clone();
            thread::spawn(move || run.release(schedule));
        }
        let mut workers = JoinSet::new();
        let mut seeds = Draws::new(!self.random_seed);
        for worker in 0..self.connections {
            let driver = drivers[worker % drivers.len()].clone();
            let draws = Draws::new(seeds.number());
            workers.spawn(work(run.clone(), driver, worker, draws));
        }
        while let Some(joined) = workers.join_next().await {
            joined.unwrap_or_else(resume);
        }
        run.over.store(true, Ordering::Relaxed);
        let mut measured = Measured::default();
        (0..BOOKS).for_each(|book| measured.merge(&run.book(book)));
        measured.never_started = run.permits.available_permits();
        measured.elapsed = run.started.elapsed();
        measured
    }
}

/// Tasks are never cancelled here, so a failed join is a panic.
fn resume<T>(error: tokio::task::JoinError) -> T {
    std::panic::resume_unwind(error.into_panic())
}

struct Run {
    load: Load,
    started: Instant,
    /// The next operation's number.
    next: AtomicU64,
    /// Operations that are due and not started; used in an open loop only.
    permits: Semaphore,
    over: AtomicBool,
    /// What the workers saw, each in one of these: a histogram is half a megabyte, so thousands of workers have no own ones.
    books: Vec<Mutex<Measured>>,
}

impl Run {
    /// Where a worker writes down what it saw. Never held across an await.
    fn book(&self, worker: usize) -> MutexGuard<'_, Measured> {
        let book = self.books[worker % BOOKS].lock();
        book.unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets operations start when they are due, until the run is over.
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, for its finer sleep"
    )]
    fn release(&self, schedule: Schedule) {
        let mut released = 0;
        while !self.is_past_end(
            released,
            schedule.intended(released).max(self.started.elapsed()),
        ) && !self.over.load(Ordering::Relaxed)
        {
            let pause = schedule
                .intended(released)
                .saturating_sub(self.started.elapsed());
            if pause.is_zero() {
                self.permits.add_permits(1);
                released += 1;
            } else {
                thread::sleep(pause.min(RELEASE_PAUSE_MAX));
            }
        }
        // Not before the last one was taken: closing turns away whoever holds a permit unread.
        while self.next.load(Ordering::Relaxed) < released && !self.is_given_up() {
            thread::sleep(BACKLOG_PAUSE);
        }
        // Whoever waits for an operation learns that there will be no other.
        self.permits.close();
    }

    fn is_given_up(&self) -> bool {
        match self.load.end {
            End::After(duration) => self.started.elapsed() > duration + BACKLOG_GRACE,
            End::Operations(_) => self.over.load(Ordering::Relaxed),
        }
    }

    /// After a failure, whoever would ask again at once waits a little. In an open loop the others ask anyway.
    async fn recover(&self) {
        if self.load.schedule.is_none() {
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }

    /// Whether the operation of this number, starting at this time, no longer belongs to the run.
    fn is_past_end(&self, index: u64, start: Duration) -> bool {
        match self.load.end {
            End::After(duration) => start >= duration,
            End::Operations(operations) => index >= operations,
        }
    }

    /// Waits for the next operation; the moment from which its latency runs.
    async fn next(&self) -> Option<Instant> {
        let Some(schedule) = self.load.schedule else {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            return (!self.is_past_end(index, self.started.elapsed())).then(Instant::now);
        };
        // Closed when nothing more will be due.
        let permit = self.permits.acquire().await.ok()?;
        permit.forget();
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        Some(self.started + schedule.intended(index))
    }
}

async fn work(run: Arc<Run>, driver: Arc<dyn Driver>, worker: usize, mut draws: Draws) {
    let load = &run.load;
    while let Some(due) = run.next().await {
        let key = key(load.drawn.draw(&mut draws));
        let is_get = match load.workload {
            Workload::Get => true,
            Workload::Put | Workload::Rmw => false,
            Workload::Mixed => draws.below(100) < load.gets_percent,
        };
        let (mut start, mut context) = (due, None);
        if is_get || load.with_context {
            let result = driver.get(&key).await;
            let found = run.book(worker).got(&result, start, run.started);
            if !found {
                run.recover().await;
                continue;
            }
            if is_get {
                run.book(worker).succeeded(due, run.started, load.in_time);
                continue;
            }
            context = result.ok().and_then(|found| found.context);
            start = Instant::now();
        }
        let result = driver.put(&key, load.value.clone(), context).await;
        let is_put = run.book(worker).was_put(&result, start, run.started);
        if !is_put {
            run.recover().await;
            continue;
        }
        run.book(worker).succeeded(due, run.started, load.in_time);
        if load.workload == Workload::Rmw {
            run.book(worker).was_both(due);
        }
    }
}

fn key(index: u64) -> String {
    format!("key-{index:012}")
}
