//! `vertex-bridge keys`: makes, shows, rotates and revokes the keys of the store, while the gateway
//! runs or not.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::{key_json, standing_word as word};
use crate::base::date::rfc3339;
use crate::config::{Budget, Config};
use crate::policy::Limits;
use crate::policy::price::usd;
use crate::rt::unix_millis;
use crate::store::Db;
use crate::store::keys::{self, KeyError, Made, StoredKey, Wanted};

use super::args::CommandLine;
use super::key_args::{Create, KeyCommand};
use super::out::{complain, print};
use super::{env, report, state};

/// Runs a command.
pub(super) fn run(line: &CommandLine, command: &KeyCommand, json: bool) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    if let KeyCommand::Create(create) = command
        && let Some(wrong) = why_not(create, &config)
    {
        return complain(&format!("{wrong}\n"));
    }
    match answer(&config, command, json) {
        Ok(text) => print(text.as_bytes()),
        Err(text) => {
            let _shown = complain(&format!("{text}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with the key that is wanted.
fn why_not(create: &Create, config: &Config) -> Option<String> {
    if config.auth.keys.iter().any(|key| key.name == create.name) {
        return Some(format!("--name: the configuration has a key named {}", create.name));
    }
    let periods = create.budgets.iter().map(|budget| budget.per);
    let twice = |(place, per)| periods.clone().skip(place + 1).any(|other| other == per);
    if periods.clone().enumerate().any(twice) {
        return Some("--budget: two budgets for one period".to_owned());
    }
    let names = create.labels.iter().map(|(name, _)| name);
    let twice = |(place, name)| names.clone().skip(place + 1).any(|other| other == name);
    names.clone().enumerate().any(twice).then(|| "--label: two labels of one name".to_owned())
}

fn answer(config: &Config, command: &KeyCommand, json: bool) -> Result<String, String> {
    let said = |error: KeyError| error.to_string();
    let now = unix_millis();
    if let KeyCommand::Create(create) = command {
        let path = state::make_store(config)?;
        let mut db = Db::open(&path).map_err(|error| error.to_string())?;
        let made = keys::create(&mut db, &wanted(create), now).map_err(said)?;
        return Ok(made_text(&made, now, json));
    }
    let path = state::find_store(config)?;
    let mut db = Db::open(&path).map_err(|error| error.to_string())?;
    Ok(match command {
        KeyCommand::Create(_) | KeyCommand::List => {
            let all = keys::list(&db).map_err(|error| error.to_string())?;
            if json { list_json(&all, now) } else { list_text(&all, now) }
        }
        KeyCommand::Show { name } => one_text(&keys::find(&db, name).map_err(said)?, now, json),
        KeyCommand::Rotate { name, overlap } => {
            let overlap = millis(*overlap);
            made_text(&keys::rotate(&mut db, name, overlap, now).map_err(said)?, now, json)
        }
        KeyCommand::Revoke { name } => {
            one_text(&keys::revoke(&mut db, name, now).map_err(said)?, now, json)
        }
    })
}

fn wanted(create: &Create) -> Wanted {
    Wanted {
        name: create.name.clone(),
        models: create.models.clone(),
        routes: create.routes.clone(),
        limits: Limits {
            requests_per_minute: create.requests_per_minute,
            tokens_per_minute: create.tokens_per_minute,
            concurrency: create.concurrency,
            budgets: create.budgets.clone(),
        },
        expires_ms: create.expires,
        labels: create.labels.clone(),
    }
}

/// The secret alone on standard output, for scripts; the rest beside it.
fn made_text(made: &Made, now: u64, json: bool) -> String {
    if json {
        let mut value = key_json(&made.key, now);
        value["secret"] = Value::from(made.secret.as_str());
        return format!("{value}\n");
    }
    let name = &made.key.wanted.name;
    let _beside = complain(&format!("the secret of the key {name}, shown this once:\n"));
    format!("{}\n", made.secret)
}

fn list_json(all: &[StoredKey], now: u64) -> String {
    let all: Vec<Value> = all.iter().map(|key| key_json(key, now)).collect();
    format!("{}\n", json!({"keys": all}))
}

/// One line for each key, for 80 columns.
fn list_text(all: &[StoredKey], now: u64) -> String {
    let mut lines = vec![["NAME", "SECRET", "STATE", "BUDGET", "EXPIRES"].map(str::to_owned)];
    lines.extend(all.iter().map(|key| {
        let expires = key.wanted.expires_ms.map_or_else(|| "-".to_owned(), day);
        let budgets = budgets(key);
        let budgets = if budgets.is_empty() { "-".to_owned() } else { budgets.join(" ") };
        let secret = key.secrets.last().map_or("-", |secret| &*secret.shown).to_owned();
        [key.wanted.name.clone(), secret, word(key.standing(now)).to_owned(), budgets, expires]
    }));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    lines.iter().fold(String::new(), |mut text, line| {
        for (cell, width) in line.iter().zip(&widths) {
            let _in_memory = write!(text, "{cell:<width$}  ");
        }
        text + line.last().map_or("", |last| last) + "\n"
    })
}

/// All that is known of a key.
fn one_text(key: &StoredKey, now: u64, json: bool) -> String {
    if json {
        return format!("{}\n", key_json(key, now));
    }
    let wanted = &key.wanted;
    let limits = &wanted.limits;
    let all = |list: &[String]| if list.is_empty() { "all".to_owned() } else { list.join(" ") };
    let mut rows = vec![
        ("name", wanted.name.clone()),
        ("state", word(key.standing(now)).to_owned()),
        ("created", moment(key.created_ms)),
    ];
    rows.extend(key.revoked_ms.map(|ms| ("revoked", moment(ms))));
    rows.extend(wanted.expires_ms.map(|ms| ("expires", moment(ms))));
    for secret in &key.secrets {
        let until = secret.until_ms.map(|ms| format!(", until {}", moment(ms)));
        rows.push(("secret", format!("{}{}", secret.shown, until.unwrap_or_default())));
    }
    rows.extend([("models", all(&wanted.models)), ("routes", all(&wanted.routes))]);
    let counts = [
        ("requests/minute", limits.requests_per_minute),
        ("tokens/minute", limits.tokens_per_minute),
        ("concurrency", limits.concurrency.map(u64::from)),
    ];
    rows.extend(counts.into_iter().filter_map(|(name, most)| Some((name, most?.to_string()))));
    rows.extend(budgets(key).into_iter().map(|budget| ("budget", budget)));
    rows.extend(wanted.labels.iter().map(|(name, text)| ("label", format!("{name}={text}"))));
    rows.iter().fold(String::new(), |mut text, (name, value)| {
        let _in_memory = writeln!(text, "{name:<17}{value}");
        text
    })
}

fn budgets(key: &StoredKey) -> Vec<String> {
    let text = |budget: &Budget| format!("{}/{}", usd(budget.nanos), budget.per.as_str());
    key.wanted.limits.budgets.iter().map(text).collect()
}

fn moment(ms: u64) -> String {
    rfc3339(ms / 1000)
}

fn day(ms: u64) -> String {
    moment(ms).split('T').next().unwrap_or_default().to_owned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
