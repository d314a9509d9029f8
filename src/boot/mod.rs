//! Wiring: arguments, environment, threads, signals.

pub mod args;
pub mod env;
pub mod machine;
pub mod report;

use std::process::ExitCode;

/// Runs the program.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
