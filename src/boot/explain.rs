//! The command `explain`: a chat request from a file, what would become of it on standard output.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use crate::proxy::explain::offline;
use crate::rt::unix_millis;

use super::args::CommandLine;
use super::out::{complain, print};
use super::{env, report};

/// Explains the request in `file`, or on standard input.
pub(super) fn run(line: &CommandLine, file: Option<&Path>) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let most = config.server.request_body_bytes_max;
    let body = match read(file, most) {
        Ok(body) => body,
        Err(error) => {
            let name = file.map_or_else(|| "standard input".into(), Path::to_string_lossy);
            return complain(&format!("vertex-bridge: cannot read {name}: {error}\n"));
        }
    };
    match offline(&config, &body, unix_millis()) {
        Ok(text) => print(&text),
        Err(refusal) => {
            complain(&String::from_utf8_lossy(&refusal));
            ExitCode::FAILURE
        }
    }
}

/// Reads a body, which may have at most `most` bytes as everywhere.
fn read(file: Option<&Path>, most: usize) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = match file {
        Some(path) if path.as_os_str() != "-" => Box::new(File::open(path)?),
        _ => Box::new(io::stdin()),
    };
    let mut body = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut body)?;
    if body.len() > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(body)
}
