//! `bench`: load on a running cluster.

use std::path::{Path, PathBuf};

use crate::bench::conditions::Conditions;
use crate::bench::floors::{self, echo};
use crate::bench::load::Load;
use crate::bench::nodes::Nodes;
use crate::bench::report::compare::Comparison;
use crate::bench::report::summary::Summary;
use crate::bench::report::{Report, Servers, page};
use crate::bench::servers::MemoryWatch;
use crate::bench::{driver, servers};
use crate::cli::{BenchArgs, BenchCommand, Protocol};
use crate::output::{Failure, Format, print, print_json, say};
use crate::random;

/// With a runtime where it needs one.
pub(super) fn run(mut arguments: BenchArgs, format: Format) -> Result<(), Failure> {
    match arguments.command.take() {
        None => super::on_runtime(measure(arguments, format)),
        Some(BenchCommand::Echo(arguments)) => echo::serve(&arguments),
        Some(BenchCommand::Compare { before, after }) => {
            let comparison = Comparison::of(&Report::read(&before)?, &Report::read(&after)?);
            match format {
                Format::Table => print(comparison.to_string()),
                Format::Json => print_json(&comparison.to_json()),
            }
        }
        Some(BenchCommand::Summarize { runs, report }) => {
            let runs: Vec<Report> = runs
                .iter()
                .map(|path| Report::read(path))
                .collect::<Result<_, _>>()?;
            let summary = Summary::of(&runs);
            if let Some(path) = report {
                write(&path, &page::of_summary(&summary))?;
            }
            match format {
                Format::Table => print(summary.to_string()),
                Format::Json => print_json(&summary.to_json()),
            }
        }
    }
}

async fn measure(mut arguments: BenchArgs, format: Format) -> Result<(), Failure> {
    arguments.random_seed.get_or_insert_with(random::number);
    let targets = Targets::of(&arguments)?;
    let load = Load::new(&arguments)?;
    let nodes = Nodes::at(&targets.metrics)?;
    let replication = nodes.replication(&arguments.bucket).await;
    let drivers = driver::drivers(&arguments, &targets.addresses).await?;
    if arguments.prefill {
        say(format!("putting {} keys once …", arguments.keys));
        load.prefill(&drivers).await?;
    }
    let conditions = Conditions::now(&arguments, replication);
    let pids = &targets.pids;
    let before = (
        servers::cpu_time(pids)?,
        servers::written_bytes(pids),
        nodes.counts().await,
    );
    let memory = (!pids.is_empty()).then(|| MemoryWatch::start(pids.clone()));
    let measured = load.run(&drivers).await;
    let memory = memory.map(MemoryWatch::stop);
    let cpu = servers::cpu_time(pids)?.saturating_sub(before.0);
    let written = servers::written_bytes(pids);
    let counts = nodes.counts().await;
    let counts = counts.zip(before.2).map(|(now, then)| now.since(then));
    let known = !pids.is_empty();
    let servers = Servers {
        cpu: known.then_some(cpu),
        memory,
        written_bytes: written
            .zip(before.1)
            .filter(|_| known)
            .map(|(now, then)| now.saturating_sub(then)),
        counts,
    };
    let count = targets.addresses.len();
    let mut report = Report::new(&arguments, count, &measured, servers, conditions);
    if arguments.floors {
        let counts = counts.unwrap_or_default();
        let floors = floors::measure(&report, counts, &load, &drivers, &targets.directory).await?;
        report.floors = Some(floors);
    }
    if let Some(path) = &arguments.report {
        write(path, &page::of_run(&report))?;
    }
    match format {
        Format::Table => print(report.to_string())?,
        Format::Json => print_json(&report.to_json())?,
    }
    if report.operations == 0 {
        return Err(Failure::failed(
            "no operation succeeded; is a node running at --at?",
        ));
    }
    Ok(())
}

fn write(path: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(path, page)
        .map_err(|error| Failure::failed(format!("can't write {}: {error}", path.display())))
}

/// Who is under load.
struct Targets {
    /// Where the nodes are by the protocol that is spoken.
    addresses: Vec<String>,
    /// Processes whose costs count.
    pids: Vec<u32>,
    /// Their HTTP listeners.
    metrics: Vec<String>,
    /// For floors.
    directory: PathBuf,
}

impl Targets {
    fn of(arguments: &BenchArgs) -> Result<Self, Failure> {
        let Some(path) = &arguments.cluster else {
            let addresses = arguments.nodes.at.clone();
            let metrics = match arguments.protocol {
                Protocol::Http if arguments.metrics.is_empty() => addresses.clone(),
                _ => arguments.metrics.clone(),
            };
            let directory = arguments.floors_dir.clone();
            return Ok(Self {
                addresses,
                pids: arguments.pids.clone(),
                metrics,
                directory: directory.unwrap_or_else(|| PathBuf::from(".")),
            });
        };
        let cluster = servers::cluster(path)?;
        let address = |node: &servers::ClusterNode| match arguments.protocol {
            Protocol::Http => Ok(format!("http://{}", node.http)),
            Protocol::Native => Ok(node.native.clone()),
            Protocol::Pb => node.pb.clone().ok_or_else(|| {
                Failure::usage(format!(
                    "{} says of no node where its PB is",
                    path.display()
                ))
            }),
        };
        let beside = arguments.floors_dir.as_deref().or(path.parent());
        let beside = beside.filter(|beside| !beside.as_os_str().is_empty());
        let http = cluster
            .nodes
            .iter()
            .map(|node| format!("http://{}", node.http));
        Ok(Self {
            addresses: cluster
                .nodes
                .iter()
                .map(address)
                .collect::<Result<_, _>>()?,
            pids: cluster.nodes.iter().map(|node| node.pid).collect(),
            metrics: match arguments.metrics.is_empty() {
                true => http.collect(),
                false => arguments.metrics.clone(),
            },
            directory: beside.map_or_else(|| PathBuf::from("."), Path::to_owned),
        })
    }
}
