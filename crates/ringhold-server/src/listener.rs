//! A listener: one task for each connection, and a clean end.
//!
//! Told to stop, it takes no more connections, and every connection answers the request that it is working
//! on and closes. A task that panics is logged and takes nothing with it.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

/// After a failed accept, mostly for want of file descriptors: time for others to close some.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that the system has opened and nobody has accepted yet. One beyond them is dropped, and its client tries again only after a second:
/// with the usual 128, a thousand clients that come at once wait for several.
const BACKLOG: u32 = 4096;

/// Listens at an address.
///
/// # Errors
/// If the address is not this machine's, or taken.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for the system to forget the connections of before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves the listener's connections until `stop` holds true, and returns once all have ended. A
/// connection beyond those that `connections` has room for is closed at once.
pub(crate) async fn serve<S, E>(
    listener: TcpListener,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
    serve_connection: impl Fn(TcpStream, Stopped) -> S,
) where
    S: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = tasks.join_next() => {
                note_end(ended);
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!("a connection was refused: there are as many as are allowed");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection broke before it began");
            continue;
        }
        let connection = serve_connection(stream, Stopped(stop.clone()));
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    while let Some(ended) = tasks.join_next().await {
        note_end(ended);
    }
}

/// Tells when the listener was told to stop.
pub(crate) struct Stopped(watch::Receiver<bool>);

impl Stopped {
    pub(crate) async fn wait(mut self) {
        // An error means that nobody is left to say stop, which is as good.
        self.0.wait_for(|stop| *stop).await.ok();
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended in a panic; the others go on");
    }
}
