//! All nodes of a plan: started together, restarted one by one, stopped, and written down.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringhold_client::{HttpPool, Request};
use ringhold_server::founding::FoundingMember;
use serde_json::{Value, json};

use crate::dev::plan::Plan;
use crate::dev::process::{NodeProcess, tail};
use crate::dev::{DevError, riak_types};

/// A node that recovers a long log takes its time; one that hangs must be told from it some day.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);
const WHOLE_TIMEOUT: Duration = Duration::from_secs(3);
const READY_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// A running cluster. Dropping it kills the nodes; [`Cluster::stop`] is the kind way.
#[derive(Debug)]
pub(crate) struct Cluster {
    plan: Plan,
    executable: PathBuf,
    /// One for each member, in their order.
    processes: Vec<NodeProcess>,
}

impl Cluster {
    /// Starts all nodes, waits until each is ready, and writes `cluster.json`.
    pub(crate) async fn start(plan: Plan) -> Result<Self, DevError> {
        let executable = std::env::current_exe().map_err(|error| DevError::Spawn {
            name: "this program".to_owned(),
            error,
        })?;
        remove_stale(&cluster_file(&plan.dir))?;
        let processes = plan
            .founding
            .members
            .iter()
            .map(|member| NodeProcess::spawn(&executable, &plan, member))
            .collect::<Result<Vec<_>, _>>()?;
        let cluster = Self {
            plan,
            executable,
            processes,
        };
        for index in 0..cluster.processes.len() {
            cluster.wait_ready(index).await?;
        }
        cluster.wait_whole().await;
        if cluster.plan.riak_types
            && let Some(url) = cluster.plan.urls().first()
        {
            riak_types::set_up(url).await?;
        }
        cluster.write_down()?;
        Ok(cluster)
    }

    /// A new store answers "don't know" until the others have said that they never heard of its node either, which
    /// takes a moment. A store that has something to make up for may take long, and is not waited for.
    async fn wait_whole(&self) {
        let request = Request::get("/ringhold/v1/status", READY_REQUEST_TIMEOUT);
        let started = Instant::now();
        for member in &self.plan.founding.members {
            let Ok(pool) = HttpPool::at(&format!("http://{}", member.http)) else {
                continue;
            };
            while started.elapsed() < WHOLE_TIMEOUT {
                let answer = pool.request(&request).await;
                let status = answer
                    .ok()
                    .and_then(|answer| serde_json::from_str::<Value>(&answer.text()).ok());
                if status.is_none_or(|status| status["rebuild"].is_null()) {
                    break;
                }
                tokio::time::sleep(READY_POLL).await;
            }
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Kills a node as a power cut would.
    pub(crate) async fn kill(&self, name: &str) -> Result<(), DevError> {
        self.processes[self.index(name)?].kill().await;
        Ok(())
    }

    /// Puts an empty disk in place of a dead node's own.
    pub(crate) fn wipe(&self, name: &str) -> Result<(), DevError> {
        let index = self.index(name)?;
        assert!(
            self.processes[index].ended().is_some(),
            "a running node keeps its disk"
        );
        let path = self.plan.data_dir(name);
        std::fs::remove_dir_all(&path).map_err(|error| DevError::Folder { path, error })
    }

    /// Starts a node again, after stopping it if it runs. Returns once it is ready.
    pub(crate) async fn restart(&mut self, name: &str) -> Result<u32, DevError> {
        let index = self.index(name)?;
        if self.processes[index].ended().is_none() {
            self.processes[index].stop().await;
        }
        let member = &self.plan.founding.members[index];
        self.processes[index] = NodeProcess::spawn(&self.executable, &self.plan, member)?;
        self.write_down()?;
        self.wait_ready(index).await?;
        Ok(self.processes[index].pid)
    }

    /// Stops all nodes at once, and waits until they are gone.
    pub(crate) async fn stop(self) {
        let mut stopping = tokio::task::JoinSet::new();
        for process in self.processes {
            stopping.spawn(async move { process.stop().await });
        }
        stopping.join_all().await;
    }

    /// What `cluster.json` holds. A node that ended keeps the id that its process had.
    pub(crate) fn to_json(&self) -> Value {
        let nodes: Vec<Value> = self
            .rows()
            .map(|(member, process)| {
                json!({
                    "name": member.name,
                    "id": member.id.to_string(),
                    "pid": process.pid,
                    "data_dir": self.plan.data_dir(&member.name),
                    "http": member.http,
                    "peer": member.peer,
                    "native": member.native,
                    "pb": member.pb,
                })
            })
            .collect();
        json!({ "nodes": nodes })
    }

    fn rows(&self) -> impl Iterator<Item = (&FoundingMember, &NodeProcess)> {
        self.plan.founding.members.iter().zip(&self.processes)
    }

    fn index(&self, name: &str) -> Result<usize, DevError> {
        let names = self.plan.names();
        names
            .iter()
            .position(|other| other == name)
            .ok_or_else(|| DevError::UnknownNode {
                name: name.to_owned(),
                names,
            })
    }

    async fn wait_ready(&self, index: usize) -> Result<(), DevError> {
        let member = &self.plan.founding.members[index];
        let log = self.plan.log(&member.name);
        let name = || member.name.clone();
        let url = format!("http://{}", member.http);
        let unusable = |error: ringhold_client::ClientError| DevError::Answered {
            message: error.to_string(),
        };
        let pool = HttpPool::at(&url).map_err(unusable)?;
        let request = Request::get("/health/ready", READY_REQUEST_TIMEOUT);
        let started = Instant::now();
        loop {
            if let Some(status) = self.processes[index].ended() {
                return Err(DevError::Died {
                    name: name(),
                    status,
                    tail: tail(&log),
                    log,
                });
            }
            let last = match pool.request(&request).await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => format!("{} {}", answer.status, answer.text().trim()),
                Err(error) => error.to_string(),
            };
            let waited = started.elapsed();
            if waited > READY_TIMEOUT {
                return Err(DevError::NotReady {
                    name: name(),
                    waited,
                    last,
                    tail: tail(&log),
                    log,
                });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Whole or not at all: whoever waits for the file sees all nodes in it.
    fn write_down(&self) -> Result<(), DevError> {
        let path = cluster_file(&self.plan.dir);
        let fresh = path.with_extension("json.new");
        let folder = |error| DevError::Folder {
            path: path.clone(),
            error,
        };
        std::fs::write(&fresh, format!("{:#}\n", self.to_json())).map_err(folder)?;
        std::fs::rename(&fresh, &path).map_err(folder)
    }
}

pub(crate) fn cluster_file(dir: &Path) -> PathBuf {
    dir.join("cluster.json")
}

/// A file that an earlier run left.
pub(super) fn remove_stale(path: &Path) -> Result<(), DevError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DevError::Folder {
            path: path.to_owned(),
            error,
        }),
        _ => Ok(()),
    }
}
