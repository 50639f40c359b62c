//! `load carts`: a transactions file replayed at a running cluster, and verified.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringhold_client::ClientError;

use crate::carts::file::{self, Basket, FileError, Products};
use crate::carts::report::Report;
use crate::carts::shop::{Shop, ShopError};
use crate::cli::{NodesArgs, ReplayArgs};
use crate::output::{Exit, Failure, Format, print, print_json, progress_bar};

pub(super) struct Files {
    pub(super) transactions: PathBuf,
    pub(super) products: Option<PathBuf>,
}

pub(super) async fn run(
    nodes: NodesArgs,
    files: Files,
    arguments: ReplayArgs,
    format: Format,
) -> Result<(), Failure> {
    let baskets = baskets(&files)?;
    let shop = Shop::new(&nodes.at, baskets, &arguments)?;
    let report = fill_and_verify(&shop).await?;
    match format {
        Format::Table => print(report.to_string())?,
        Format::Json => print_json(&report.to_json())?,
    }
    verdict(&report)
}

/// An error if any cart differs.
pub(super) fn verdict(report: &Report) -> Result<(), Failure> {
    if report.is_exact() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "carts differ from the file: {}",
        report.last_line()
    )))
}

impl From<ShopError> for Failure {
    fn from(error: ShopError) -> Self {
        let quorum = matches!(&error, ShopError::NotAcknowledged { last, .. } if last.status() == Some(503) || is_native(last));
        let exit = if quorum {
            Exit::QuorumNotMet
        } else {
            Exit::Failed
        };
        Self {
            exit,
            message: error.to_string(),
        }
    }
}

/// Whether a node has answered it, over the native frames.
fn is_native(error: &ClientError) -> bool {
    matches!(error, ClientError::Get { .. } | ClientError::Put { .. })
}

async fn fill_and_verify(shop: &Arc<Shop>) -> Result<Report, Failure> {
    let filling = shop.fill(progress_bar(shop.items(), "items")).await?;
    let measurements = shop.measurements();
    let difference = shop
        .verify(progress_bar(shop.carts(), "carts checked"))
        .await?;
    Ok(Report {
        carts: shop.carts(),
        items: shop.items(),
        filling,
        measurements,
        difference,
    })
}

/// Reads the files whole.
pub(super) fn baskets(files: &Files) -> Result<Vec<Basket>, Failure> {
    let refuse = |error: FileError| Failure::failed(error.to_string());
    let products = match &files.products {
        Some(path) => file::products(&name(path), open(path)?).map_err(refuse)?,
        None => Products::new(),
    };
    let path = &files.transactions;
    file::baskets(&name(path), open(path)?, &products).map_err(refuse)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn open(path: &Path) -> Result<io::BufReader<File>, Failure> {
    File::open(path)
        .map(io::BufReader::new)
        .map_err(|error| Failure::failed(format!("can't open {}: {error}", path.display())))
}
