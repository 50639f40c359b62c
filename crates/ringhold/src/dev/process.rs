//! One node's process: started, signalled, awaited.
//!
//! A task owns the child. It is the only one that waits for it and the only one that signals it, so
//! a signal never goes to a process id that has been given to somebody else meanwhile; and a node
//! that is killed from outside is reaped at once instead of staying as a zombie.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ringhold_server::founding::FoundingMember;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use crate::dev::DevError;
use crate::dev::plan::Plan;

/// How full a developer's disk is tells nothing of these nodes: they share it with everything else, and stop only short of its end. What the
/// user sets comes later, and is what counts.
const ON_A_SHARED_DISK: [&str; 3] = [
    "storage.disk_warn_percent=97",
    "storage.disk_refuse_percent=98",
    "storage.disk_deletes_only_percent=99",
];

/// A node that was told to stop has this long.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// What is shown of a log: enough for a panic message or a refused setting.
const TAIL_BYTES: u64 = 4_096;

/// A node's process, running or ended. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub(super) pid: u32,
    signals: mpsc::UnboundedSender<Signal>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl NodeProcess {
    /// Starts `ringhold serve` for a member of the plan. What it says goes to its log.
    pub(super) fn spawn(
        executable: &Path,
        plan: &Plan,
        member: &FoundingMember,
    ) -> Result<Self, DevError> {
        let path = plan.log(&member.name);
        let folder = |error| DevError::Folder {
            path: path.clone(),
            error,
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(folder)?;
        let log_too = log.try_clone().map_err(folder)?;
        let spawn = |error| DevError::Spawn {
            name: member.name.clone(),
            error,
        };
        // Flags go before the environment and before any file: what a developer has set for a node
        // of his own must not put three nodes on one port.
        let child = Command::new(executable)
            .arg("serve")
            .arg("--exit-with-parent")
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(plan.data_dir(&member.name))
            .arg("--founding")
            .arg(&plan.founding_path)
            .args(["--http", &member.http])
            .args(["--peer", &member.peer])
            .args(["--native", &member.native])
            .args(["--pb", member.pb.as_deref().unwrap_or("auto")])
            .args(
                ON_A_SHARED_DISK
                    .iter()
                    .flat_map(|setting| ["--set", setting]),
            )
            .args(["--set", &format!("threads={}", plan.threads_each())])
            .args(plan.settings.iter().flat_map(|setting| ["--set", setting]))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C in the terminal is for the parent, which stops its nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(spawn)?;
        let pid = child
            .id()
            .ok_or_else(|| spawn(io::ErrorKind::NotFound.into()))?;
        let (signals, requested) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        tokio::spawn(own(child, requested, end));
        Ok(Self {
            pid,
            signals,
            ended,
        })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub(super) async fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait().await;
    }

    /// Asks it to stop, waits, and kills it if it doesn't.
    pub(super) async fn stop(&self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(STOP_GRACE, self.wait()).await.is_err() {
            self.kill().await;
        }
    }

    fn signal(&self, signal: Signal) {
        // Without a receiver the process has ended, which is what any signal here is for.
        if self.signals.send(signal).is_err() {}
    }

    async fn wait(&self) {
        let mut ended = self.ended.clone();
        // An error means that the owner is gone, and the process with it.
        if ended.wait_for(Option::is_some).await.is_err() {}
    }
}

async fn own(
    mut child: Child,
    mut requested: mpsc::UnboundedReceiver<Signal>,
    end: watch::Sender<Option<ExitStatus>>,
) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    // Waiting would close it, and the node takes its end for ours.
    let lifeline = child.stdin.take();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            signal = requested.recv() => {
                let Some(signal) = signal else { return };
                // Not reaped yet, so the id is still this process's.
                if let Some(pid) = pid && let Err(error) = kill_process(pid, signal) {
                    tracing::warn!(%error, "a node could not be signalled");
                }
            }
        }
    };
    drop(lifeline);
    // A process that can't be waited for counts as ended with an unknown status.
    end.send_replace(Some(status.unwrap_or_default()));
}

/// The end of a log, from the beginning of a line.
pub(super) fn tail(log: &Path) -> String {
    read_tail(log).unwrap_or_else(|error| format!("(it can't be read: {error})"))
}

fn read_tail(log: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = match text.split_once('\n') {
        Some((_, rest)) if start > 0 => rest,
        _ => &text,
    };
    Ok(whole.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_whole_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "one\ntwo\n").expect("written");
        assert_eq!(tail(file.path()), "one\ntwo");
        let long: String = (0..1_000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(file.path(), long).expect("written");
        let tail = tail(file.path());
        assert!(
            tail.starts_with("line ") && tail.ends_with("line 999"),
            "{tail}"
        );
    }

    #[test]
    fn a_missing_log_is_told() {
        assert!(tail(Path::new("/nowhere/x.log")).contains("can't be read"));
    }
}
