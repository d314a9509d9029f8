//! The command `import`: a file of another gateway in, ours out.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::limits::FILE_BYTES_MAX;
use crate::import::{self, Imported};

use super::args::Import;
use super::env::{read_text, reason};
use super::out::{EXIT_USAGE, complain, print};

/// Runs the command.
pub(super) fn run(from: &Import) -> ExitCode {
    let Import::Litellm { file, output } = from;
    let name = file.to_string_lossy();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            return complain(&format!("vertex-bridge: cannot read {name}: {}\n", reason(&error)));
        }
    };
    let Imported { text, notes, routes } = match import::litellm(&name, &text) {
        Ok(imported) => imported,
        Err(wrong) => return complain(&format!("{name}:{wrong}\n")),
    };
    let told: String = notes.iter().map(|note| format!("{name}:{note}\n")).collect();
    // What was left behind is told in either case.
    let _usage = complain(&told);
    if routes == 0 {
        let nothing = format!("vertex-bridge: {name} has no model that can be served\n");
        return complain(&nothing);
    }
    let Some(output) = output else { return print(text.as_bytes()) };
    let written = OpenOptions::new().write(true).create_new(true).open(output);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (output, reason) = (output.display(), reason(&error));
            let _usage = complain(&format!("vertex-bridge: cannot write {output}: {reason}\n"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn read(file: &Path) -> io::Result<String> {
    if file.as_os_str() != "-" {
        return read_text(&file.to_string_lossy());
    }
    let mut text = String::new();
    io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
