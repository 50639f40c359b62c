//! `cargo run --release -p ringhold-sim --example sim -- --seeds 0..300`

use std::process::ExitCode;

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "only the outside of the simulator has a clock"
)]
fn main() -> std::io::Result<ExitCode> {
    let started = std::time::Instant::now();
    let mut elapsed_us = move || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut out = std::io::stdout();
    let passed =
        ringhold_sim::command::main_with(std::env::args().skip(1), &mut out, &mut elapsed_us)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
