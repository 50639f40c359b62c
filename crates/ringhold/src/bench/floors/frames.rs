//! The second floor: the frames alone, from the side of the client. What serves them is `echo`, in processes of its own, so that what
//! the kernel says of their CPU time is that of the serving side.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ringhold_wire::frame::{self, Frame, FrameDecoder};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinSet;

use super::echo::{GET, PUT, Samples, header, next_frame};
use super::failed;
use crate::bench::servers::cpu_time;
use crate::cli::EchoArgs;
use crate::latency::Latencies;
use crate::output::Failure;

const WARM: Duration = Duration::from_millis(200);
const MEASURED: Duration = Duration::from_secs(1);
const ALONE: Duration = Duration::from_millis(300);
/// A process that has not come up by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// Microseconds: CPU of all serving sides together, and the median of one request alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) get_us: f64,
    pub(super) put_us: f64,
    pub(super) get_p50_us: f64,
    pub(super) put_p50_us: f64,
}

/// How those who ask do it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clients {
    pub(super) connections: u64,
    /// Over all connections.
    pub(super) in_flight: u64,
}

const ONE: Clients = Clients {
    connections: 1,
    in_flight: 1,
};

/// Of so many nodes.
pub(super) async fn measure(
    arguments: &EchoArgs,
    nodes: u64,
    clients: Clients,
) -> Result<Cost, Failure> {
    let started = tokio::time::timeout(PATIENCE, Echoes::start(arguments, nodes.max(1))).await;
    let echoes = started
        .map_err(|_| failed("the echoing processes did not come up"))?
        .map_err(failed)?;
    Ok(Cost {
        get_us: echoes.cpu_us(GET, clients).await?,
        put_us: echoes.cpu_us(PUT, clients).await?,
        get_p50_us: echoes.p50_us(GET).await?,
        put_p50_us: echoes.p50_us(PUT).await?,
    })
}

/// The processes, which end when this is dropped.
struct Echoes {
    /// Their standard inputs close with them.
    processes: Vec<Child>,
    addresses: Vec<SocketAddr>,
    value_bytes: usize,
}

impl Echoes {
    async fn start(arguments: &EchoArgs, nodes: u64) -> io::Result<Self> {
        let mut echoes = Self {
            processes: Vec::new(),
            addresses: Vec::new(),
            value_bytes: arguments.value_bytes,
        };
        let mut lines: Vec<Lines<BufReader<ChildStdout>>> = Vec::new();
        for _ in 0..nodes {
            let mut process = Command::new(std::env::current_exe()?)
                .args(["bench", "echo"])
                .args(["--value-bytes", &arguments.value_bytes.to_string()])
                .args(["--r", &arguments.r.to_string()])
                .args(["--w", &arguments.w.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let output = process.stdout.take().expect("it is piped");
            let mut output = BufReader::new(output).lines();
            let address = output.next_line().await?.unwrap_or_default();
            echoes
                .addresses
                .push(address.parse().map_err(io::Error::other)?);
            echoes.processes.push(process);
            lines.push(output);
        }
        for (at, process) in echoes.processes.iter_mut().enumerate() {
            let others = echoes.addresses.iter().enumerate();
            let others: Vec<String> = others
                .filter(|&(other, _)| other != at)
                .map(|(_, address)| address.to_string())
                .collect();
            let input = process.stdin.as_mut().expect("it is piped");
            let line = format!("{}\n", others.join(" "));
            input.write_all(line.as_bytes()).await?;
        }
        for output in &mut lines {
            // Any line says that it has connected to the others.
            output.next_line().await?;
        }
        Ok(echoes)
    }

    /// CPU of all of them for each request.
    async fn cpu_us(&self, code: u64, clients: Clients) -> Result<f64, Failure> {
        let pids: Vec<u32> = self.processes.iter().filter_map(Child::id).collect();
        self.load(code, clients, WARM).await.map_err(failed)?;
        let before = cpu_time(&pids)?;
        let done = self.load(code, clients, MEASURED).await;
        let done = done.map_err(failed)?.count();
        let cpu = cpu_time(&pids)?.saturating_sub(before);
        Ok(cpu.as_secs_f64() * 1e6 / done.max(1) as f64)
    }

    /// The median with one request in flight.
    async fn p50_us(&self, code: u64) -> Result<f64, Failure> {
        let latencies = self.load(code, ONE, ALONE).await.map_err(failed)?;
        Ok(latencies.at(0.5).unwrap_or_default().as_secs_f64() * 1e6)
    }

    /// Requests in flight for this long, on connections that are dealt to the nodes in turn.
    async fn load(&self, code: u64, clients: Clients, duration: Duration) -> io::Result<Latencies> {
        let connections = clients.connections.max(1);
        let each = clients.in_flight.div_ceil(connections);
        let each = usize::try_from(each).map_err(io::Error::other)?;
        let mut asking = JoinSet::new();
        for (_, &address) in (0..connections).zip(self.addresses.iter().cycle()) {
            asking.spawn(client(address, code, each, self.value_bytes, duration));
        }
        let mut all = Latencies::default();
        while let Some(joined) = asking.join_next().await {
            all.merge(&joined.map_err(io::Error::other)??);
        }
        Ok(all)
    }
}

/// Keeps requests in flight on one connection: for each reply another one goes out.
async fn client(
    address: SocketAddr,
    code: u64,
    in_flight: usize,
    value_bytes: usize,
    duration: Duration,
) -> io::Result<Latencies> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let mut decoder = FrameDecoder::new();
    decoder.established();
    let samples = Samples::new(value_bytes);
    let request = match code {
        PUT => &samples.put,
        _ => &samples.get,
    };
    let mut out = BytesMut::new();
    let mut latencies = Latencies::default();
    // An id is a place here, so that a reply finds the moment at which its request went out.
    let start = Instant::now();
    let mut sent = vec![start; in_flight];
    for id in 0..in_flight {
        let id = u64::try_from(id).unwrap_or(u64::MAX);
        frame::append_request(&mut out, header(id, code), request).map_err(io::Error::other)?;
    }
    while start.elapsed() < duration {
        writer.write_all(&out).await?;
        out.clear();
        let mut next = Some(next_frame(&mut reader, &mut decoder).await?);
        while let Some(frame) = next {
            if let Frame::Reply { id, .. } = frame {
                let now = Instant::now();
                let place = usize::try_from(id).map_err(io::Error::other)?;
                latencies.record(now.saturating_duration_since(sent[place]));
                sent[place] = now;
                let header = header(id, code);
                frame::append_request(&mut out, header, request).map_err(io::Error::other)?;
            }
            next = decoder.next_frame().map_err(io::Error::other)?;
        }
    }
    Ok(latencies)
}
