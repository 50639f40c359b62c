//! Packets that come late, twice, or in another order.
//!
//! The kernel hands every packet that reaches a node to us and waits for a verdict (NFQUEUE). Each gets a time to be
//! let go, soon or after a spike; since times are drawn one by one, packets overtake each other. Some are let go
//! twice: the second one goes in through the node's loopback, past the rule.
//!
//! TCP hides duplicates and puts packets in order again. What a node feels is time: answers that come after their
//! deadline, connections that stall and burst, acknowledgements of requests that were given up long ago.
//!
//! When a queue closes the kernel lets packets pass by themselves, so healing needs no goodbye.

use crate::namespace::Namespace;
use crate::tools::Missing;
use nfq::{Message, Queue, Verdict};
use ringhold_sim::random::Random;
use rustix::net::{self, AddressFamily, SocketAddrV4, SocketFlags, SocketType, ipproto};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const QUEUE: u16 = 1;
const LOOK: Duration = Duration::from_micros(500);

/// What happens to packets on their way to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Half of the packets take longer than this.
    pub(crate) delay_us: u64,
    /// In a million: held for as long as a spike.
    pub(crate) spikes: u32,
    pub(crate) spike_us: u64,
    /// In a million.
    pub(crate) duplicates: u32,
}

/// How many packets had what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) packets: usize,
    pub(crate) duplicated: usize,
    /// Let go after one that came later.
    pub(crate) overtaken: usize,
}

/// The weather around one node; it clears up when this is dropped.
pub(crate) struct Storm {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Counts>>>,
}

impl Storm {
    /// # Errors
    /// If the kernel doesn't hand packets out.
    pub(crate) fn begin(
        namespace: &Namespace,
        weather: Weather,
        random: Random,
    ) -> Result<Self, Missing> {
        // The queue belongs to the network that the thread that opens it is in.
        let queue = thread::scope(|scope| {
            let opened = scope.spawn(|| {
                namespace.enter()?;
                open().map_err(|error| Missing(format!("NFQUEUE: {error}")))
            });
            opened.join().expect("opening does not panic")
        });
        let (queue, twice) = queue?;
        let number = QUEUE.to_string();
        let rule = format!("INPUT -i eth0 -p tcp -j NFQUEUE --queue-num {number} --queue-bypass");
        // A second storm finds the rule.
        let words = |verb| {
            [verb]
                .into_iter()
                .chain(rule.split(' '))
                .collect::<Vec<_>>()
        };
        if namespace.run("iptables-legacy", &words("-C")).is_err() {
            namespace.run("iptables-legacy", &words("-A"))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || rage(queue, &twice, weather, random, &told));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the storm. What was held is let go.
    pub(crate) fn end(mut self) -> io::Result<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it ends once");
        thread.join().expect("a storm does not panic")
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("a storm panicked");
        }
    }
}

/// The queue of the network that this thread is in, and a way back into it.
fn open() -> io::Result<(Queue, OwnedFd)> {
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_nonblocking(true);
    // RAW: we bring the header, too.
    let twice = net::socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(ipproto::RAW),
    )?;
    Ok((queue, twice))
}

fn rage(
    mut queue: Queue,
    twice: &OwnedFd,
    weather: Weather,
    mut random: Random,
    stop: &AtomicBool,
) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let mut held: BTreeMap<(Instant, usize), Message> = BTreeMap::new();
    let mut latest = 0;
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let mut idle = true;
        while let Some(packet) = receive(&mut queue)? {
            let delay_us = if random.chance(weather.spikes) {
                weather.spike_us
            } else {
                random.around(weather.delay_us)
            };
            counts.packets += 1;
            let due = Instant::now() + Duration::from_micros(delay_us);
            held.insert((due, counts.packets), packet);
            idle = false;
        }
        while let Some(first) = held.first_entry() {
            let (due, number) = *first.key();
            if due > Instant::now() && !stopping {
                break;
            }
            let mut packet = first.remove();
            counts.overtaken += usize::from(number < latest);
            latest = latest.max(number);
            if random.chance(weather.duplicates) && send_again(twice, packet.get_payload()) {
                counts.duplicated += 1;
            }
            packet.set_verdict(Verdict::Accept);
            queue.verdict(packet)?;
            idle = false;
        }
        if stopping && idle {
            return Ok(counts);
        }
        if idle {
            thread::park_timeout(LOOK);
        }
    }
}

/// The next packet, if there is one now.
fn receive(queue: &mut Queue) -> io::Result<Option<Message>> {
    match queue.recv() {
        Ok(packet) => Ok(Some(packet)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // More came than the kernel wants to hold: it has dropped some, as networks do.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A copy of an IPv4 packet, to the node itself.
fn send_again(socket: &OwnedFd, packet: &[u8]) -> bool {
    let Some(&[a, b, c, d]) = packet.get(16..20) else {
        return false;
    };
    let node = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), 0);
    net::sendto(socket, packet, net::SendFlags::empty(), &node).is_ok()
}
