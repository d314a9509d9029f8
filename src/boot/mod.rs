//! Wiring: arguments, environment, threads, signals.

mod admin;
pub mod args;
mod audit;
mod control;
pub mod env;
mod explain;
mod handover;
mod import;
mod journal;
pub mod key_args;
mod key_command;
mod keys;
mod ledger;
pub mod ledger_args;
pub mod machine;
mod models;
mod name;
mod out;
mod random;
pub mod report;
mod say;
pub mod security;
mod serve;
mod shared;
mod sight;
mod simulate;
mod spawn;
mod spent;
pub mod state;
mod table;
mod tokens;
mod top;
mod usage;
mod watch;
mod watchdog;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, json_schema};

use args::{Command, CommandLine};
use keys::Keys;
use machine::Machine;
use name::name_process;
use out::{EXIT_USAGE, complain, print};
use security::Material;

/// Runs the program.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    match &line.command {
        None | Some(Command::Serve) => serve::run(&line),
        Some(Command::Simulate(options)) => {
            name_process("vb-simulator");
            simulate::run(&line, options)
        }
        Some(Command::Check(options)) => {
            name_process("vb-cli");
            if options.schema {
                print(json_schema().as_bytes())
            } else {
                check(&line, options.json)
            }
        }
        Some(Command::Explain { file }) => {
            name_process("vb-cli");
            explain::run(&line, file.as_deref())
        }
        Some(Command::Models { json }) => {
            name_process("vb-cli");
            models::run(&line, *json)
        }
        Some(Command::Import { from }) => {
            name_process("vb-cli");
            import::run(from)
        }
        Some(Command::Keys { command, json }) => {
            name_process("vb-cli");
            key_command::run(&line, command, *json)
        }
        Some(Command::Usage(options)) => {
            name_process("vb-cli");
            usage::run(&line, options)
        }
        Some(Command::Top(options)) => {
            name_process("vb-top");
            top::run(&line, options)
        }
        Some(Command::Ledger { command }) => {
            name_process("vb-cli");
            ledger::run(&line, command)
        }
        Some(Command::Audit(what)) => {
            name_process("vb-cli");
            audit::run(&line, *what)
        }
        Some(Command::Completions { shell }) => {
            name_process("vb-cli");
            print(&args::completions(*shell))
        }
        Some(Command::Man) => {
            name_process("vb-cli");
            args::man().map_or(ExitCode::FAILURE, |page| print(&page))
        }
    }
}

/// Prints what would run, or every mistake.
fn check(line: &CommandLine, json: bool) -> ExitCode {
    let loaded = env::load(line.options.config.as_deref(), &line.flags());
    let loaded = loaded.and_then(|config| Material::load(&config).map(|_usable| config));
    let with_keys = |config: Config| match Keys::read(&config) {
        Ok(keys) => Ok((config, keys)),
        Err(error) => Err(vec![error]),
    };
    match loaded.and_then(with_keys) {
        Ok((config, keys)) => {
            let machine = Machine::look();
            let text = if json {
                report::json(&config, &keys.access().keys, &machine)
            } else {
                report::text(&config, &keys.access().keys, &machine)
            };
            print(text.as_bytes())
        }
        Err(errors) => {
            let text =
                if json { report::errors_json(&errors) } else { report::errors_text(&errors) };
            let _printed = if json { print(text.as_bytes()) } else { complain(&text) };
            ExitCode::from(EXIT_USAGE)
        }
    }
}
