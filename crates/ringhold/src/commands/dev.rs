//! `dev`: a local cluster until Ctrl-C, and `dev restart`.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{DevArgs, DevCommand};
use crate::dev::DevError;
use crate::dev::cluster::Cluster;
use crate::dev::control::{self, Control};
use crate::dev::plan::{Plan, Ports, Wish};
use crate::dev::riak_types;
use crate::output::{Failure, Format, Table, print, print_json, say};

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        match error {
            DevError::OtherCluster { .. } | DevError::Ports { .. } => {
                Self::usage(error.to_string())
            }
            DevError::UnknownNode { .. } => Self::not_found(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

pub(super) async fn run(arguments: DevArgs, format: Format) -> Result<(), Failure> {
    if let Some(DevCommand::Restart { name, dir }) = arguments.command {
        let pid = control::restart(&dir.dir, &name).await?;
        return match format {
            Format::Table => print(format!("{name} runs again, process {pid}\n")),
            Format::Json => print_json(&serde_json::json!({ "name": name, "pid": pid })),
        };
    }
    let ports = match arguments.base_port {
        None => Ports::AsFounded,
        Some(0) => Ports::Free,
        Some(base) => Ports::From(base),
    };
    let wish = Wish {
        nodes: arguments.nodes,
        ports,
        zones: arguments.zones,
        riak_types: arguments.riak_types,
    };
    let mut stop = Stop::listen()?;
    let mut plan = Plan::prepare(&arguments.dir.dir, wish)?;
    if arguments.riak_types {
        let settings = riak_types::SETTINGS.map(str::to_owned);
        plan.settings.extend(settings);
    }
    plan.settings.extend(arguments.set);
    let control = Control::listen(&plan.dir).await?;
    say(format!(
        "starting {} nodes in {} …",
        plan.names().len(),
        plan.dir.display()
    ));
    let cluster = tokio::select! {
        started = Cluster::start(plan) => started?,
        () = stop.asked() => return Ok(()),
    };
    match format {
        Format::Table => print(welcome(&cluster))?,
        Format::Json => print_json(&cluster.to_json())?,
    }
    let cluster = serve(cluster, &control, &mut stop).await;
    say("stopping the nodes …");
    cluster.stop().await;
    Ok(())
}

async fn serve(mut cluster: Cluster, control: &Control, stop: &mut Stop) -> Cluster {
    loop {
        let question = tokio::select! {
            question = control.next() => question,
            () = stop.asked() => return cluster,
        };
        let result = tokio::select! {
            result = cluster.restart(&question.name) => result,
            () = stop.asked() => return cluster,
        };
        match &result {
            Ok(pid) => say(format!("{} runs again, process {pid}", question.name)),
            Err(error) => say(format!("{}: {error}", question.name)),
        }
        question.done(&result).await;
    }
}

/// SIGTERM or Ctrl-C.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(super) fn listen() -> Result<Self, Failure> {
        let refuse = |error| Failure::failed(format!("can't wait for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(refuse)?,
            interrupt: signal(SignalKind::interrupt()).map_err(refuse)?,
        })
    }

    pub(super) async fn asked(&mut self) {
        let asked = tokio::select! {
            asked = self.terminate.recv() => asked,
            asked = self.interrupt.recv() => asked,
        };
        if asked.is_none() {
            pending::<()>().await;
        }
    }
}

fn welcome(cluster: &Cluster) -> String {
    let mut table = Table::new(&["node", "process", "HTTP", "PB", "peer", "native"]);
    let json = cluster.to_json();
    for node in json["nodes"].as_array().into_iter().flatten() {
        let cell = |name: &str| super::view::cell(&node[name]);
        let http = format!("http://{}", cell("http"));
        table.row([
            cell("name"),
            cell("pid"),
            http,
            cell("pb"),
            cell("peer"),
            cell("native"),
        ]);
    }
    let urls = cluster.plan().urls();
    let first = urls.first().map_or("", String::as_str);
    let last = urls.last().map_or("", String::as_str);
    let dir = cluster.plan().dir.display();
    format!(
        "{table}
Write at one node, read at another, see the cluster:
  curl -i -X PUT -H 'Content-Type: text/plain' -d 'two oranges' {first}/buckets/carts/keys/alice
  curl -i {last}/buckets/carts/keys/alice
  curl {first}/ringhold/v1/status

Logs and data are in {dir}, process ids in {dir}/cluster.json. A node that you kill stays
dead until `ringhold dev restart NAME --dir {dir}`. Ctrl-C stops all.
"
    )
}
