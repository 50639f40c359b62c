//! One server process: started in its place, signalled, awaited.
//!
//! The program under test is the same binary that users get, started as a user would. Around it there may be a
//! tracer that makes its flushes fail, or a library that shifts its clock; both end up as the process
//! itself, so its id is the one to signal. A server ends when its standard input does, so none outlives the
//! harness.

use crate::tools::{self, Missing};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What surrounds a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Around {
    #[default]
    Nothing,
    /// From this flush of a thread on, all its flushes fail with EIO, without reaching the disk.
    FailingFlushes { from: u64 },
    /// Its flushes succeed without reaching the disk.
    LyingFlushes,
    /// The wall clock is off by what this file says.
    Clock(PathBuf),
}

/// A server's process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Starts `ringhold serve` behind a prefix. What it says is added to its log.
    pub(crate) fn start(
        prefix: &[String],
        around: &Around,
        arguments: &[String],
        log: &Path,
    ) -> Result<Self, Missing> {
        let mut words = prefix.to_vec();
        match around {
            Around::FailingFlushes { from } => {
                words.extend(tracer(&format!("error=EIO:when={from}+"), log));
            }
            Around::LyingFlushes => words.extend(tracer("retval=0", log)),
            Around::Nothing | Around::Clock(_) => {}
        }
        words.push(env!("CARGO_BIN_EXE_ringhold").to_owned());
        words.push("serve".to_owned());
        words.extend_from_slice(arguments);
        let unusable = |error: std::io::Error| Missing(format!("a server does not start: {error}"));
        let said = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(unusable)?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/");
        // A developer's settings are not the ones under test.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RINGHOLD_") {
                command.env_remove(name);
            }
        }
        if let Around::Clock(file) = around {
            command.env("LD_PRELOAD", clock_library()?);
            command.env("FAKETIME_TIMESTAMP_FILE", file);
            command.env("FAKETIME_NO_CACHE", "1");
            // Time that passes is not time that is told: only the latter goes wrong.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(said.try_clone().map_err(unusable)?)
            .stderr(said)
            .spawn()
            .map_err(unusable)?;
        Ok(Self { child })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it is our child");
    }

    /// Whether, after SIGSTOP, no thread of it does anything any more, but for calls that the kernel has yet to finish.
    pub(crate) fn stands_still(&mut self) -> bool {
        let tasks = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
        let mut states = threads.filter_map(|thread| {
            let status = fs::read_to_string(thread.path().join("stat")).ok()?;
            // The name before the state is in parentheses, and may hold any of them.
            status.rsplit_once(") ")?.1.chars().next()
        });
        // Stopped, traced and stopped, in a call that can't be interrupted, or gone.
        states.all(|state| "TtDZX".contains(state))
    }

    /// A signal, unless it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let id = i32::try_from(self.child.id()).expect("process ids fit");
            let id = Pid::from_raw(id).expect("it is not zero");
            kill_process(id, signal).expect("it has not been waited for");
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let id = self.child.id();
        self.kill();
        remove_clock_leftovers(id);
    }
}

/// What answers to calls that flush instead of the kernel.
///
/// `-D` makes the tracer the child, so that the process that we start becomes the server; `--seccomp-bpf`
/// lets all other calls run at full speed.
fn tracer(answer: &str, log: &Path) -> Vec<String> {
    let calls = "fsync,fdatasync,sync_file_range,msync";
    vec![
        "strace".to_owned(),
        "-D".to_owned(),
        "-f".to_owned(),
        "--seccomp-bpf".to_owned(),
        "-qq".to_owned(),
        "-o".to_owned(),
        log.with_extension("strace").to_string_lossy().into_owned(),
        "-e".to_owned(),
        format!("trace={calls}"),
        "-e".to_owned(),
        format!("inject={calls}:{answer}"),
    ]
}

/// Whether a process may be traced here.
pub(crate) fn tracer_works() -> Result<(), Missing> {
    tools::run(
        "strace",
        &[
            "-D",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-e",
            "trace=fsync",
            "true",
        ],
    )
}

/// The library of the package `faketime`.
pub(crate) fn clock_library() -> Result<PathBuf, Missing> {
    tools::find("faketime")?;
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .find(|library| library.is_file())
        .ok_or_else(|| Missing("libfaketimeMT.so.1 is not below /usr/lib".to_owned()))
}

/// Sets the clock of the server that reads this file, at once.
pub(crate) fn set_clock(file: &Path, offset_s: i64) {
    let fresh = file.with_extension("new");
    fs::write(&fresh, format!("{offset_s:+}s\n")).expect("the folder is ours");
    fs::rename(&fresh, file).expect("the folder is ours");
}

/// The clock's library can't tidy up after itself in a process that is killed.
fn remove_clock_leftovers(process: u32) {
    for name in [
        format!("faketime_shm_{process}"),
        format!("sem.faketime_sem_{process}"),
    ] {
        fs::remove_file(Path::new("/dev/shm").join(name)).ok();
    }
}
