//! The command `ledger`: copies, checks and corrections of the books.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::admin::signed_usd as usd;
use crate::config::{Config, Tier, Upstream};
use crate::journal::{Folder, Record};
use crate::policy::price::{Book, Tokens};
use crate::rt::unix_millis;
use crate::store::db::SCHEMA;
use crate::store::ledger::{Ledger, Mode, Repriced, Verified};

use super::args::CommandLine;
use super::ledger_args::{Days, LedgerCommand};
use super::out::{complain, fail, print};
use super::usage::{open, told};
use super::{env, report, state};

/// Does what the subcommand says.
pub(super) fn run(line: &CommandLine, command: &LedgerCommand) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let done = match command {
        LedgerCommand::Backup { file } => back_up(&config, file),
        LedgerCommand::Verify { file, json } => verify(&config, file.as_deref(), *json),
        LedgerCommand::Migrate => migrate(&config),
        LedgerCommand::Adjust { key, usd, reason } => adjust(&config, key, *usd, reason),
        LedgerCommand::Reprice { days, dry_run, json } => {
            let mode = if *dry_run { Mode::DryRun } else { Mode::Write };
            reprice(&config, days, mode).map(|done| print(told_as(*json, &done, mode).as_bytes()))
        }
    };
    done.unwrap_or_else(|error| fail(&error))
}

fn back_up(config: &Config, file: &Path) -> Result<ExitCode, String> {
    open(config)?.back_up(file).map_err(told)?;
    Ok(print(format!("{}: written\n", file.display()).as_bytes()))
}

fn migrate(config: &Config) -> Result<ExitCode, String> {
    let path = state::find_store(config)?;
    let ledger = Ledger::open(&path).map_err(told)?;
    let version = ledger.schema().map_err(told)?;
    let text = format!("{}: schema {version}; this release knows {SCHEMA}\n", path.display());
    Ok(print(text.as_bytes()))
}

fn adjust(config: &Config, key: &str, nanos: i64, reason: &str) -> Result<ExitCode, String> {
    let path = state::find_store(config)?;
    let mut ledger = Ledger::open(&path).map_err(told)?;
    ledger.adjust(unix_millis(), key, nanos, reason).map_err(told)?;
    Ok(print(format!("{key}: {} USD on top\n", usd(nanos)).as_bytes()))
}

fn verify(config: &Config, file: Option<&Path>, json: bool) -> Result<ExitCode, String> {
    let found = match file {
        Some(copy) => {
            let ledger = Ledger::open_to_read(copy).map_err(told)?;
            // Who was running when the copy was made is not known.
            ledger.verify(None).map_err(told)?
        }
        None => {
            // Those that end while we look are in the list.
            let folder = state::folder(config)?;
            let running = Folder::new(&folder)
                .boots()
                .map_err(|error| format!("{}: {}", folder.display(), env::reason(&error)))?;
            open(config)?.verify(Some(&running)).map_err(told)?
        }
    };
    let text = if json { verified_json(&found) } else { verified_text(&found) };
    let printed = print(text.as_bytes());
    Ok(if found.problems.is_empty() { printed } else { ExitCode::FAILURE })
}

fn verified_text(found: &Verified) -> String {
    let mut lines: Vec<String> =
        found.problems.iter().map(|problem| format!("wrong: {problem}\n")).collect();
    let Verified { exchanges, open, corrections, pending, .. } = found;
    lines.push(format!(
        "{exchanges} exchanges, {open} of them without an end; {corrections} corrections\n"
    ));
    if *pending > 0 {
        lines.push(format!("{pending} more run, or are not stored yet\n"));
    }
    if found.problems.is_empty() {
        lines.push("the books are right\n".to_owned());
    }
    lines.concat()
}

fn verified_json(found: &Verified) -> String {
    let report = json!({
        "exchanges": found.exchanges,
        "open": found.open,
        "corrections": found.corrections,
        "pending": found.pending,
        "problems": found.problems,
    });
    format!("{report}\n")
}

fn reprice(config: &Config, days: &Days, mode: Mode) -> Result<Repriced, String> {
    let path = state::find_store(config)?;
    let mut ledger = match mode {
        Mode::DryRun => Ledger::open_to_read(&path),
        Mode::Write => Ledger::open(&path),
    }
    .map_err(told)?;
    let book = Book::of(config);
    let price = |record: &Record<'_>| price_now(config, &book, record);
    ledger.reprice(unix_millis(), &days.span(), &price, mode).map_err(told)
}

fn told_as(json: bool, done: &Repriced, mode: Mode) -> String {
    let Repriced { exchanges, changed, first_priced, unpriced, nanos } = done;
    let dry = mode == Mode::DryRun;
    if json {
        let report = json!({
            "exchanges": exchanges, "changed": changed, "first_priced": first_priced,
            "unpriced": unpriced, "corrected_usd": usd(*nanos), "dry_run": dry,
        });
        return format!("{report}\n");
    }
    let did = if dry { "would be corrected" } else { "were corrected" };
    format!(
        "{changed} of {exchanges} exchanges {did}, by {} USD in all; {first_priced} of them had no \
         known cost before, {unpriced} others have none now\n",
        usd(*nanos)
    )
}

/// What an exchange costs by the prices of this configuration, when it was asked for.
fn price_now(config: &Config, book: &Book, record: &Record<'_>) -> Option<(u64, u32)> {
    let named = |upstream: &Upstream| upstream.name == record.upstream_name;
    let upstream = config.upstreams.iter().position(named).unwrap_or(usize::MAX);
    let price = book.find(upstream, record.model, record.started_ms)?;
    let tokens = Tokens {
        prompt: record.prompt,
        cached: record.cached,
        cache_write: record.cache_write,
        cache_write_1h: record.cache_write_1h,
        prompt_audio: record.prompt_audio,
        cached_audio: record.cached_audio,
        completion: record.completion,
        reasoning: record.reasoning,
        completion_audio: record.completion_audio,
        completion_image: record.completion_image,
    };
    Some((price.cost(&tokens, Tier::of_number(record.tier))?, price.version()))
}
