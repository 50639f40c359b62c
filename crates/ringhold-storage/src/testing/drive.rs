//! Polling a few futures to their end on the caller's thread.
//!
//! Wakers set a flag and ring a bell, so futures that are completed by other threads (`OsFiles`) work
//! as well as those that complete at once. Which of the woken futures is polled next is the caller's
//! choice: a seeded choice explores interleavings, always the first is a plain executor.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};

/// A future to be polled to its end.
pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Polls until every one of `tasks` has ended; what runs in the background is polled meanwhile and
/// dropped then. `choose` picks one of as many futures as it is given, by its index.
pub fn drive(
    tasks: Vec<Task<'_>>,
    background: Vec<Task<'_>>,
    choose: &mut dyn FnMut(usize) -> usize,
) {
    let mut awaited = tasks.len();
    let first_in_background = tasks.len();
    let bell = Arc::new(Bell::default());
    let mut running: Vec<(usize, Task<'_>, Arc<Flag>)> = tasks
        .into_iter()
        .chain(background)
        .enumerate()
        .map(|(index, task)| (index, task, Flag::woken(&bell)))
        .collect();
    while awaited > 0 {
        let ready = wait_for_any(&bell, &running);
        let at = ready[choose(ready.len()) % ready.len()];
        let (index, task, flag) = &mut running[at];
        flag.set(false);
        let waker = Waker::from(Arc::clone(flag));
        if task
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            awaited -= usize::from(*index < first_in_background);
            drop(running.remove(at));
        }
    }
}

/// Polls `main` to its end and returns its output, with others in the background.
///
/// # Panics
///
/// Never: `main` has ended when its output is taken.
pub fn block_on<T>(main: impl Future<Output = T>, background: Vec<Task<'_>>) -> T {
    let mut output = None;
    let task: Task<'_> = Box::pin(async { output = Some(main.await) });
    drive(vec![task], background, &mut |_| 0);
    output.expect("the task has ended")
}

/// Where the woken ones are; waits until there is one.
fn wait_for_any(bell: &Bell, running: &[(usize, Task<'_>, Arc<Flag>)]) -> Vec<usize> {
    loop {
        let heard = *bell.rung.lock().expect("no holder of this lock panics");
        let ready: Vec<usize> = (0..running.len())
            .filter(|at| running[*at].2.is_set())
            .collect();
        if !ready.is_empty() {
            return ready;
        }
        let rung = bell.rung.lock().expect("no holder of this lock panics");
        drop(
            bell.ring
                .wait_while(rung, |rung| *rung == heard)
                .expect("no holder of this lock panics"),
        );
    }
}

#[derive(Default)]
struct Bell {
    rung: Mutex<u64>,
    ring: Condvar,
}

struct Flag {
    woken: Mutex<bool>,
    bell: Arc<Bell>,
}

impl Flag {
    fn woken(bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self {
            woken: Mutex::new(true),
            bell: Arc::clone(bell),
        })
    }

    fn set(&self, woken: bool) {
        *self.woken.lock().expect("no holder of this lock panics") = woken;
    }

    fn is_set(&self) -> bool {
        *self.woken.lock().expect("no holder of this lock panics")
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set(true);
        *self
            .bell
            .rung
            .lock()
            .expect("no holder of this lock panics") += 1;
        self.bell.ring.notify_one();
    }
}
