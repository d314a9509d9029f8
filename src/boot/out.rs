//! What a command prints, and the exit code of a mistake.

use std::io::Write;
use std::process::ExitCode;

/// The exit code of wrong usage or configuration.
pub(super) const EXIT_USAGE: u8 = 2;

/// Writes to standard output; a reader that went away is no failure of ours.
pub(super) fn print(bytes: &[u8]) -> ExitCode {
    let _reader_left = std::io::stdout().write_all(bytes);
    ExitCode::SUCCESS
}

/// Says on standard error what failed.
pub(super) fn fail(what: &str) -> ExitCode {
    let _reader_left = std::io::stderr().write_all(format!("vertex-bridge: {what}\n").as_bytes());
    ExitCode::FAILURE
}

/// Writes to standard error and fails with a usage error.
pub(super) fn complain(text: &str) -> ExitCode {
    let _reader_left = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(EXIT_USAGE)
}
