//! `serve`: one node, in the foreground, until it is told to stop.
//!
//! The command gathers the settings from their layers, and hands a checked configuration to the
//! server. Two conveniences are decided here: a node of a founding file listens where that file
//! says unless somebody says otherwise, and `--bootstrap` writes a founding file with this node as
//! the only member.

use std::io::{self, Read as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use ringhold_server::Join;
use ringhold_server::config::{Config, Layers, Origin};
use ringhold_server::founding::{Draft, DraftMember, Founding};
use rustix::process::{Signal, getpid, kill_process};
use tracing_subscriber::EnvFilter;

use crate::cli::{JoinArgs, ServeArgs, SettingsArgs};
use crate::output::Failure;
use crate::random;

/// A node that lost its parent has this long to stop by itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(15);

pub(super) fn run(arguments: &ServeArgs) -> Result<(), Failure> {
    let mut layers = layers(&arguments.settings)?;
    let join = joining(&arguments.join);
    if arguments.bootstrap {
        bootstrap(&mut layers)?;
    } else {
        take_from_founding(&mut layers)?;
    }
    let config = layers.config();
    config.check()?;
    log_to_stderr(&config)?;
    if arguments.exit_with_parent {
        thread::spawn(stop_with_parent);
    }
    ringhold_server::serve(config, join)
        .map_err(|error| Failure::failed(format!("the node stopped: {error}")))
}

fn joining(arguments: &JoinArgs) -> Option<Join> {
    let (address, token) = (arguments.join.clone()?, arguments.token.clone()?);
    Some(Join {
        address,
        token,
        zone: arguments.zone.clone(),
        rack: arguments.rack.clone(),
        weight: arguments.weight,
    })
}

/// Default, file, environment, flags.
pub(super) fn layers(settings: &SettingsArgs) -> Result<Layers, Failure> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Layers::read(
        settings.config.as_deref(),
        environment,
        &overrides(settings)?,
    )?)
}

fn overrides(settings: &SettingsArgs) -> Result<Vec<(String, String)>, Failure> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let named = [
        ("name", settings.name.clone()),
        ("data_dir", settings.data_dir.as_deref().map(path)),
        ("founding", settings.founding.as_deref().map(path)),
        (
            "listen.http",
            settings.http.map(|address| address.to_string()),
        ),
        (
            "listen.peer",
            settings.peer.map(|address| address.to_string()),
        ),
        (
            "listen.native",
            settings.native.map(|address| address.to_string()),
        ),
        ("listen.pb", settings.pb.clone()),
        (
            "seeds",
            (!settings.seeds.is_empty()).then(|| settings.seeds.join(",")),
        ),
        ("peer_tls", settings.peer_tls.clone()),
        ("insecure", settings.insecure.then(|| "true".to_owned())),
        ("log", settings.log.clone()),
    ];
    let mut overrides: Vec<(String, String)> = named
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    for pair in &settings.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!(
                "--set {pair}: write KEY=VALUE, such as limits.siblings=50"
            ))
        })?;
        overrides.push((key.trim().to_owned(), value.to_owned()));
    }
    Ok(overrides)
}

/// A member's row says where it listens; whatever an operator says goes before it.
fn take_from_founding(layers: &mut Layers) -> Result<(), Failure> {
    let config = layers.config();
    let Some(path) = &config.founding else {
        return Ok(());
    };
    let founding = Founding::load(path)?;
    let Some(member) = founding.member(&config.name) else {
        let names: Vec<&str> = founding
            .members
            .iter()
            .map(|member| member.name.as_str())
            .collect();
        return Err(Failure::usage(format!(
            "{} has no member {:?}; say which one this node is with --name: {}",
            path.display(),
            config.name,
            names.join(", ")
        )));
    };
    let always = [
        ("listen.http", &member.http),
        ("listen.peer", &member.peer),
        ("listen.native", &member.native),
    ];
    let pb = member.pb.iter().map(|address| ("listen.pb", address));
    for (key, address) in always.into_iter().chain(pb) {
        // A name is for others to find this node by; which of its addresses it means is not said.
        if address.parse::<std::net::SocketAddr>().is_ok() {
            layers.suggest(key, address, Origin::Founding)?;
        }
    }
    Ok(())
}

/// Founds a cluster of one in the data directory, unless that has been done.
fn bootstrap(layers: &mut Layers) -> Result<(), Failure> {
    let config = layers.config();
    let path = config.data_dir.join("founding.toml");
    if !path.exists() {
        std::fs::create_dir_all(&config.data_dir).map_err(|error| {
            Failure::failed(format!("can't make {}: {error}", config.data_dir.display()))
        })?;
        let member = DraftMember {
            name: config.name.clone(),
            peer: config.listen.peer.to_string(),
            http: Some(config.listen.http.to_string()),
            native: Some(config.listen.native.to_string()),
            ..DraftMember::default()
        };
        let draft = Draft {
            n_val: Some(config.default_bucket.n_val),
            members: vec![member],
            ..Draft::default()
        };
        draft.draw(&mut random::fill)?.write(&path)?;
    }
    layers.suggest("founding", &path.to_string_lossy(), Origin::Flag)?;
    Ok(())
}

fn log_to_stderr(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Failure::usage(format!("log: {:?} is no filter: {error}", config.log)))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| Failure::failed(format!("can't set up logging: {error}")))
}

/// Runs on a thread of its own, besides the server and its runtime.
///
/// The parent holds the other end of standard input and never writes: its end is the parent's.
#[expect(
    clippy::disallowed_methods,
    reason = "a node that ignores SIGTERM and has nobody left to kill it must not stay for ever"
)]
fn stop_with_parent() {
    let mut input = io::stdin().lock();
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    tracing::info!("the process that started this node is gone: stopping");
    if kill_process(getpid(), Signal::TERM).is_ok() {
        thread::sleep(ORPHAN_GRACE);
    }
    std::process::exit(1);
}
