//! `bench`: load on a running cluster.

use crate::bench::load::Load;
use crate::bench::report::Report;
use crate::bench::servers::MemoryWatch;
use crate::bench::{driver, servers};
use crate::cli::{BenchArgs, Protocol};
use crate::output::{Failure, Format, print, print_json, say};

pub(super) async fn run(arguments: BenchArgs, format: Format) -> Result<(), Failure> {
    let (nodes, pids) = targets(&arguments)?;
    let load = Load::new(&arguments)?;
    let drivers = driver::drivers(
        arguments.protocol,
        &nodes,
        &arguments.bucket,
        arguments.connections.into(),
    )
    .await?;
    if arguments.prefill {
        say(format!("putting {} keys once …", arguments.keys));
        load.prefill(&drivers).await?;
    }
    let before = servers::cpu_time(&pids)?;
    let memory = (!pids.is_empty()).then(|| MemoryWatch::start(pids.clone()));
    let measured = load.run(&drivers).await;
    let servers_bytes = memory.map(MemoryWatch::stop);
    let after = servers::cpu_time(&pids)?;
    let servers_cpu = (!pids.is_empty()).then(|| after.saturating_sub(before));
    let report = Report {
        arguments: &arguments,
        nodes: nodes.len(),
        measured,
        servers_cpu,
        servers_bytes,
    };
    match format {
        Format::Table => print(report.to_string())?,
        Format::Json => print_json(&report.to_json())?,
    }
    if report.measured.operations() == 0 {
        return Err(Failure::failed(
            "no operation succeeded; is a node running at --at?",
        ));
    }
    Ok(())
}

/// Where the nodes are by the protocol that is spoken, and processes whose CPU time counts.
fn targets(arguments: &BenchArgs) -> Result<(Vec<String>, Vec<u32>), Failure> {
    let Some(path) = &arguments.cluster else {
        return Ok((arguments.nodes.at.clone(), arguments.pids.clone()));
    };
    let cluster = servers::cluster(path)?;
    let addresses = cluster
        .nodes
        .iter()
        .map(|node| match arguments.protocol {
            Protocol::Http => format!("http://{}", node.http),
            Protocol::Native => node.native.clone(),
        })
        .collect();
    Ok((
        addresses,
        cluster.nodes.iter().map(|node| node.pid).collect(),
    ))
}
