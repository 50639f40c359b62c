//! `DIR/dev.sock`: how `dev restart` asks the running `dev`.
//!
//! One connection, one line of JSON each way: `{"restart":"node2"}`, answered by
//! `{"pid":123}` or `{"error":"…"}`. The socket also keeps two `dev`s off one directory: a file
//! that nobody answers at is a leftover and goes, one that is answered at is in use.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::dev::DevError;
use crate::dev::cluster::remove_stale;

/// A line is a name and a few braces.
const QUESTION_BYTES_MAX: u64 = 4_096;
/// The same of an answer, in which there may be the end of a node's log.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A question is written at once by whoever connects.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The kernel's limit for the path of a socket is 108 bytes.
const PATH_BYTES_MAX: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    restart: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Pid(u32),
    Error(String),
}

/// The socket of a running `dev`; the file goes with it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// Keeps the short name of the folder valid.
    _folder: std::fs::File,
}

/// Somebody wants a node started again.
#[derive(Debug)]
pub(crate) struct Restart {
    pub(crate) name: String,
    stream: UnixStream,
}

impl Control {
    /// Takes the directory.
    pub(crate) async fn listen(dir: &Path) -> Result<Self, DevError> {
        let folder = |error| DevError::Folder {
            path: dir.to_owned(),
            error,
        };
        let handle = std::fs::File::open(dir).map_err(folder)?;
        let path = dir.join("dev.sock");
        let short = short_path(&path, &handle);
        if UnixStream::connect(&short).await.is_ok() {
            return Err(DevError::AlreadyRuns {
                path: dir.to_owned(),
            });
        }
        remove_stale(&path)?;
        let listener = UnixListener::bind(&short).map_err(folder)?;
        Ok(Self {
            listener,
            path,
            _folder: handle,
        })
    }

    /// The next question. Whoever connects and asks nothing is passed over.
    pub(crate) async fn next(&self) -> Restart {
        loop {
            // A failed accept (no file descriptor left) is no reason to stop the cluster.
            let Ok((mut stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let question = read_line::<Question>(&mut stream, QUESTION_BYTES_MAX);
            let asked = tokio::time::timeout(QUESTION_TIMEOUT, question);
            if let Ok(Ok(question)) = asked.await {
                return Restart {
                    name: question.restart,
                    stream,
                };
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = remove_stale(&self.path) {
            tracing::warn!(%error, "the socket stays behind");
        }
    }
}

impl Restart {
    /// Tells how it went.
    pub(crate) async fn done(self, result: &Result<u32, DevError>) {
        let reply = match result {
            Ok(pid) => Reply::Pid(*pid),
            Err(error) => Reply::Error(error.to_string()),
        };
        answer(self.stream, &reply).await;
    }
}

/// Asks the `dev` that runs on this directory; the process id of the node that was started.
pub(crate) async fn restart(dir: &Path, name: &str) -> Result<u32, DevError> {
    let path = dir.join("dev.sock");
    let absent = |error| DevError::NotRunning {
        path: path.clone(),
        error,
    };
    let folder = std::fs::File::open(dir).map_err(absent)?;
    let mut stream = UnixStream::connect(short_path(&path, &folder))
        .await
        .map_err(absent)?;
    write_line(
        &mut stream,
        &Question {
            restart: name.to_owned(),
        },
    )
    .await
    .map_err(absent)?;
    let answer = read_line(&mut stream, ANSWER_BYTES_MAX).await;
    match answer.map_err(absent)? {
        Reply::Pid(pid) => Ok(pid),
        Reply::Error(message) => Err(DevError::Answered { message }),
    }
}

/// The socket's path, by way of the open folder where the path itself is too long for a socket.
fn short_path(path: &Path, folder: &std::fs::File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    match path.file_name() {
        Some(name) if path.as_os_str().len() > PATH_BYTES_MAX => Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name),
        _ => path.to_owned(),
    }
}

async fn answer(mut stream: UnixStream, reply: &Reply) {
    if let Err(error) = write_line(&mut stream, reply).await {
        tracing::warn!(%error, "whoever asked for a restart is gone");
    }
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read_line<T: for<'de> Deserialize<'de>>(
    stream: &mut UnixStream,
    bytes_max: u64,
) -> io::Result<T> {
    use tokio::io::AsyncReadExt as _;
    let mut line = Vec::new();
    BufReader::new(stream.take(bytes_max))
        .read_until(b'\n', &mut line)
        .await?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_gets_its_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        // Longer than a socket's path may be.
        let dir = folder.path().join("a".repeat(120));
        std::fs::create_dir(&dir).expect("a folder");
        assert!(matches!(
            restart(&dir, "node1").await,
            Err(DevError::NotRunning { .. })
        ));
        let control = Control::listen(&dir).await.expect("a socket");
        assert!(matches!(
            Control::listen(&dir).await,
            Err(DevError::AlreadyRuns { .. })
        ));
        let ask = async |name: &str| {
            let serving = async {
                let question = control.next().await;
                let result = match question.name.as_str() {
                    "node1" => Ok(7),
                    name => Err(DevError::UnknownNode {
                        name: name.to_owned(),
                        names: vec![name.to_owned(); 2],
                    }),
                };
                question.done(&result).await;
            };
            tokio::join!(restart(&dir, name), serving).0
        };
        // The connection that looked whether somebody is there asked nothing.
        assert_eq!(ask("node1").await.expect("restarted"), 7);
        let error = ask("node9").await.expect_err("no such node");
        assert!(error.to_string().contains("node9"), "{error}");
        // As long as the end of a log.
        let long = "n".repeat(3_000);
        let error = ask(&long).await.expect_err("no such node");
        assert!(error.to_string().contains(&long), "{error}");
        drop(control);
        assert!(!dir.join("dev.sock").exists());
        let again = Control::listen(&dir).await;
        assert!(again.is_ok());
    }
}
