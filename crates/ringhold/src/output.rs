//! What a command leaves: an exit code, and a result as a table for people or JSON for programs.
//!
//! Results go to standard output, everything else (progress, what is going on, errors) to standard
//! error, so that a pipe gets the result alone. Exit codes are part of the interface: 0 done,
//! 1 failed, 2 wrong usage, 3 the cluster could not meet the quorum, 4 not found.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ringhold_client::{ClientError, Doubt};

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    QuorumNotMet,
    NotFound,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::QuorumNotMet => 3,
            Exit::NotFound => 4,
        })
    }
}

/// The end of a command that failed: what to say, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::NotFound,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Status { status: 503, .. } => Exit::QuorumNotMet,
            ClientError::Get { .. } | ClientError::Put { .. } if error.is_passing() => {
                Exit::QuorumNotMet
            }
            ClientError::Status { status: 404, .. } => Exit::NotFound,
            ClientError::Invalid { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        Self {
            exit,
            message: error.to_string(),
        }
    }
}

impl From<ringhold_server::config::ConfigError> for Failure {
    fn from(error: ringhold_server::config::ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<ringhold_server::founding::FoundingError> for Failure {
    fn from(error: ringhold_server::founding::FoundingError) -> Self {
        Self::usage(error.to_string())
    }
}

/// Prints to standard output. A reader that closed the pipe has what it wanted: that is no error.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("can't write the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(format!("{value:#}\n"))
}

/// Tells people what is going on.
pub(crate) fn say(text: impl fmt::Display) {
    eprintln!("{text}");
}

/// Few enough kinds to count by.
pub(crate) fn failure_kind(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { .. } => "node unreachable".to_owned(),
        ClientError::Unknown {
            doubt: Doubt::TimedOut { .. },
            ..
        } => "no answer in time".to_owned(),
        ClientError::Unknown {
            doubt: Doubt::Broken { .. },
            ..
        } => "connection broke".to_owned(),
        ClientError::Status { status, text, .. } => {
            format!(
                "{status} {}",
                without_numbers(text.lines().next().unwrap_or_default().trim())
            )
        }
        ClientError::Get { error, .. } => without_numbers(&format!("{error:?}")),
        ClientError::Put { error, .. } => without_numbers(&format!("{error:?}")),
        ClientError::Malformed { .. }
        | ClientError::Conflict { .. }
        | ClientError::Undecodable { .. }
        | ClientError::Invalid { .. } => "other".to_owned(),
    }
}

/// "3 of 100 replicas" and "4 of 100 replicas" are one kind.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            other => out.push(other),
        }
    }
    out
}

/// Redraws of a bar in a second, at most.
const REDRAWS_PER_SECOND: u8 = 10;

/// A bar on standard error; shown on a terminal only.
pub(crate) fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {per_sec}, {eta} left")
        .expect("the template is well formed");
    let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
    ProgressBar::with_draw_target(Some(length), target)
        .with_style(style)
        .with_message(what)
}

/// Rows under headings, columns as wide as their widest cell; numbers stand to the right.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(|&heading| heading.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let row: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(
            row.len(),
            self.headings.len(),
            "a row has a cell for each heading"
        );
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |cell: &String| cell.chars().count();
        let columns: Vec<(usize, bool)> = (0..self.headings.len())
            .map(|column| {
                let cells = || self.rows.iter().map(|row| &row[column]);
                let width = cells()
                    .chain([&self.headings[column]])
                    .map(length)
                    .max()
                    .unwrap_or(0);
                let numbers = cells().all(|cell| is_number(cell)) && !self.rows.is_empty();
                (width, numbers)
            })
            .collect();
        for row in [&self.headings].into_iter().chain(&self.rows) {
            let cells: Vec<String> = row
                .iter()
                .zip(&columns)
                .map(|(cell, &(width, numbers))| {
                    if numbers {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                })
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty()
        || cell == "-"
        || cell.starts_with(|first: char| first.is_ascii_digit()) && !cell.contains([':', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed_and_numbers_stand_right() {
        let mut table = Table::new(&["name", "n"]);
        table.row(["a", "5"]);
        table.row(["long name", "1000"]);
        assert_eq!(
            table.to_string(),
            "name          n\na             5\nlong name  1000\n"
        );
    }

    #[test]
    fn failures_are_counted_by_kind_and_not_by_number() {
        let refused = |text: &str| {
            let text = text.to_owned();
            failure_kind(&ClientError::Status {
                url: String::new(),
                status: 409,
                text,
            })
        };
        assert_eq!(
            refused("100 siblings, limit 9\nmore"),
            "409 N siblings, limit N"
        );
        assert_eq!(
            refused("101 siblings, limit 9"),
            refused("7 siblings, limit 10")
        );
    }

    #[test]
    fn exit_codes_follow_the_answer() {
        let status = |status| ClientError::Status {
            url: String::new(),
            status,
            text: String::new(),
        };
        let check = |error: ClientError, exit| assert_eq!(Failure::from(error).exit, exit);
        check(status(503), Exit::QuorumNotMet);
        check(status(404), Exit::NotFound);
        check(status(400), Exit::Failed);
        check(
            ClientError::Invalid {
                what: "x",
                problem: String::new(),
            },
            Exit::Usage,
        );
    }
}
