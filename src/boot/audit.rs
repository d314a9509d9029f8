//! The command `audit`: what operators have changed, and whether the chain is whole.

use std::process::ExitCode;

use serde_json::json;

use crate::admin::audited;
use crate::config::Config;
use crate::obs::log::timestamp;
use crate::store::audit::{self, Verdict};
use crate::store::{Db, StoreError};

use super::args::{Audit, CommandLine};
use super::out::{complain, print};
use super::{env, report, state};

/// Lists the log, or walks its chain.
pub(super) fn run(line: &CommandLine, what: Audit) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let done = match what {
        Audit::List { json, limit } => list(&config, json, limit),
        Audit::Verify { json } => verify(&config, json),
    };
    done.unwrap_or_else(|why| {
        complain(&format!("vertex-bridge: {why}\n"));
        ExitCode::FAILURE
    })
}

fn open(config: &Config) -> Result<Db, String> {
    let path = state::find_store(config)?;
    Db::open_to_read(&path).map_err(|error| error.to_string())
}

fn list(config: &Config, as_json: bool, limit: u32) -> Result<ExitCode, String> {
    let entries = audit::list(&open(config)?, limit).map_err(|error| told(&error))?;
    if as_json {
        let rows: Vec<_> = entries.iter().map(audited).collect();
        return Ok(print(format!("{}\n", json!({"rows": rows})).as_bytes()));
    }
    let head = ["number", "time", "who", "from", "action", "subject", "result"];
    let rows = entries.iter().map(|entry| {
        let deed = &entry.deed;
        let result = deed.result.escape_debug().to_string();
        let (number, time) = (entry.number.to_string(), timestamp(deed.at_ms));
        row([&number, &time, &deed.who, &deed.from, &deed.action, &deed.subject, &result])
    });
    let text: String = std::iter::once(row(head)).chain(rows).collect();
    Ok(print(text.as_bytes()))
}

fn row([number, time, who, from, action, subject, result]: [&str; 7]) -> String {
    format!("{number:>6}  {time:24}  {who:8}  {from:15}  {action:16}  {subject:24}  {result}\n")
}

fn verify(config: &Config, as_json: bool) -> Result<ExitCode, String> {
    match audit::verify(&open(config)?).map_err(|error| told(&error))? {
        Verdict::Whole(entries, hash) if as_json => {
            let line = json!({"whole": true, "entries": entries, "hash": hash});
            Ok(print(format!("{line}\n").as_bytes()))
        }
        Verdict::Whole(entries, hash) => Ok(print(
            format!("{entries} entries fit together; the last hash is {hash}\n").as_bytes(),
        )),
        Verdict::Broken(number) => Err(format!(
            "the audit log was tampered with: entry {number} is not what it was, or is missing"
        )),
    }
}

fn told(error: &StoreError) -> String {
    error.to_string()
}
