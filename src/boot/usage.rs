//! The command `usage`: what was used and what it cost, out of the ledger.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::admin::{counts, day, figures, signed_usd as usd};
use crate::base::date::rfc3339;
use crate::config::Config;
use crate::journal::Ending;
use crate::store::StoreError;
use crate::store::ledger::{By, Entry, Ledger, Sums, Usage};

use super::args::CommandLine;
use super::ledger_args::{self, Days, Form, Part, UsageCommand};
use super::out::{complain, fail, print};
use super::table::Table;
use super::{env, report, state};

/// Prints sums, or what the subcommand says.
pub(super) fn run(line: &CommandLine, options: &ledger_args::Usage) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let done = match &options.command {
        None => sums(&config, options).map(|text| print(text.as_bytes())),
        Some(UsageCommand::Export { days, id, form }) => {
            export(&config, days, id.as_deref(), *form)
        }
    };
    done.unwrap_or_else(|error| fail(&error))
}

/// The ledger of a configuration, to be read.
pub(super) fn open(config: &Config) -> Result<Ledger, String> {
    let path = state::find_store(config)?;
    Ledger::open_to_read(&path).map_err(told)
}

/// An error of the store as a line.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn told(error: StoreError) -> String {
    error.to_string()
}

fn sums(config: &Config, options: &ledger_args::Usage) -> Result<String, String> {
    let by: Vec<By> = options.by.iter().map(|part| part.by()).collect();
    let rows = open(config)?.usage(&options.days.span(), &by).map_err(told)?;
    let mut all = Sums::default();
    rows.iter().for_each(|row| all.add(&row.sums, 1));
    // Without parts the only row is the sum.
    let rows = if by.is_empty() { &[] } else { rows.as_slice() };
    Ok(match options.form {
        Form { json: true, .. } => sums_json(&options.days, &options.by, rows, &all),
        Form { csv: true, .. } => sums_csv(&options.by, rows, &all),
        Form { .. } => sums_text(&options.by, rows, &all),
    })
}

const fn name(part: Part) -> &'static str {
    match part {
        Part::Key => "key",
        Part::Model => "model",
        Part::Day => "day",
        Part::Route => "route",
        Part::Upstream => "upstream",
    }
}

fn value(part: Part, row: &Usage) -> String {
    let text = match part {
        Part::Day => return row.day.map(day).unwrap_or_default(),
        Part::Key => &row.key,
        Part::Model => &row.model,
        Part::Route => &row.route,
        Part::Upstream => &row.upstream,
    };
    text.clone().unwrap_or_default()
}

fn sums_json(days: &Days, by: &[Part], rows: &[Usage], all: &Sums) -> String {
    let rows = rows.iter().map(|row| {
        let mut object = Map::new();
        for part in by {
            object.insert(name(*part).to_owned(), Value::String(value(*part, row)));
        }
        object.append(&mut figures(&row.sums));
        Value::Object(object)
    });
    let rows: Vec<Value> = rows.collect();
    let mut object = figures(all);
    object.insert("from".to_owned(), json!(days.from.map(day)));
    object.insert("to".to_owned(), json!(days.to.map(day)));
    object.insert("rows".to_owned(), Value::Array(rows));
    format!("{}\n", Value::Object(object))
}

fn sums_csv(by: &[Part], rows: &[Usage], all: &Sums) -> String {
    let mut out = String::new();
    let names = by.iter().map(|part| name(*part).to_owned());
    let figures = ["requests"].into_iter().chain(Sums::KINDS).chain(["cost_usd", "corrected_usd"]);
    let figures = figures.chain(counts(all).map(|(name, _)| name)).map(str::to_owned);
    csv_line(&mut out, names.chain(figures));
    let mut line = |parts: Vec<String>, sums: &Sums| {
        let tokens = sums.tokens.map(|count| count.to_string());
        let figures = [sums.requests.to_string()].into_iter().chain(tokens);
        let money = [sums.charged().map(usd).unwrap_or_default(), usd(sums.corrected_nanos)];
        let counts = counts(sums).map(|(_, count)| count.to_string());
        csv_line(&mut out, parts.into_iter().chain(figures).chain(money).chain(counts));
    };
    if by.is_empty() {
        line(Vec::new(), all);
    }
    for row in rows {
        line(by.iter().map(|part| value(*part, row)).collect(), &row.sums);
    }
    out
}

/// Appends a line of RFC 4180.
fn csv_line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            out.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

fn sums_text(by: &[Part], rows: &[Usage], all: &Sums) -> String {
    let heads: Vec<String> = by.iter().map(|part| name(*part).to_uppercase()).collect();
    let mut head: Vec<&str> = heads.iter().map(String::as_str).collect();
    head.extend(["REQUESTS", "TOKENS IN", "TOKENS OUT", "COST USD"]);
    let mut table = Table::new(&head, by.len());
    let mut line = |mut cells: Vec<String>, sums: &Sums| {
        let [prompt, _, _, _, completion, _, _] = sums.tokens;
        cells.extend([sums.requests.to_string(), prompt.to_string(), completion.to_string()]);
        cells.push(cost(sums));
        table.row(cells);
    };
    for row in rows {
        let cells = by.iter().map(|part| match value(*part, row) {
            empty if empty.is_empty() => "-".to_owned(),
            value => value,
        });
        line(cells.collect(), &row.sums);
    }
    let mut cells = vec![String::new(); by.len()];
    if let Some(first) = cells.first_mut() {
        "total".clone_into(first);
    }
    line(cells, all);
    let requests = |count: i64| format!("{count} request{}", if count == 1 { "" } else { "s" });
    let mut lines = vec![table.text()];
    if all.unpriced > 0 {
        lines.push(format!("+ without {}, whose cost is not known\n", requests(all.unpriced)));
    }
    if all.estimated > 0 {
        lines.push(format!("~ with {}, whose tokens are estimated\n", requests(all.estimated)));
    }
    if all.open > 0 {
        let open = requests(all.open);
        lines.push(format!("  {open} without an end, charged what was reserved\n"));
    }
    lines.concat()
}

/// Rounded to millionths, with marks for what is not known exactly.
fn cost(sums: &Sums) -> String {
    let Some(nanos) = sums.charged() else { return "unknown".to_owned() };
    let micros = (nanos.unsigned_abs() + 500) / 1000;
    let sign = if nanos < 0 && micros > 0 { "-" } else { "" };
    let mark = match (sums.estimated > 0, sums.unpriced > 0) {
        (true, true) => "~+",
        (true, false) => "~ ",
        (false, true) => "+ ",
        (false, false) => "  ",
    };
    format!("{sign}{}.{:06}{mark}", micros / 1_000_000, micros % 1_000_000)
}

/// Prints single entries as they are read.
fn export(config: &Config, days: &Days, id: Option<&str>, form: Form) -> Result<ExitCode, String> {
    let ledger = open(config)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut line = String::new();
    if !form.json {
        csv_line(&mut line, COLUMNS.iter().map(|name| (*name).to_owned()));
    }
    let mut wrote = out.write_all(line.as_bytes());
    let read = ledger.entries(&days.span(), |entry| {
        let found = match entry {
            Entry::Exchange { record, .. } => record.id,
            Entry::Correction(correction) => correction.id,
        };
        if wrote.is_ok() && id.is_none_or(|id| id == found) {
            let cells = COLUMNS.iter().zip(cells(entry));
            line.clear();
            if form.json {
                let object = cells.map(|(name, cell)| ((*name).to_owned(), cell)).collect();
                line.push_str(&Value::Object(object).to_string());
                line.push('\n');
            } else {
                csv_line(&mut line, cells.map(|(_, cell)| plain(&cell)));
            }
            wrote = out.write_all(line.as_bytes());
        }
        wrote.is_ok()
    });
    read.map_err(told)?;
    match wrote.and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Somebody has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(env::reason(&error)),
    }
}

const COLUMNS: [&str; 35] = [
    "kind",
    "id",
    "started",
    "key",
    "route",
    "upstream",
    "model",
    "ending",
    "status",
    "error",
    "prompt",
    "cached",
    "cache_write",
    "prompt_audio",
    "completion",
    "reasoning",
    "completion_audio",
    "estimated",
    "cost_usd",
    "prices",
    "stream",
    "cache_hit",
    "attempts",
    "bytes_in",
    "bytes_out",
    "parse_us",
    "queue_us",
    "connect_us",
    "tls_us",
    "upstream_us",
    "first_token_us",
    "total_us",
    "trace",
    "entry",
    "reason",
];

/// What stands in the columns.
fn cells(entry: &Entry<'_>) -> [Value; 35] {
    const NO: Value = Value::Null;
    match entry {
        Entry::Exchange { boot, seq, record } => [
            json!("exchange"),
            json!(record.id),
            json!(time(record.started_ms)),
            json!(record.key),
            json!(record.route),
            json!(record.upstream_name),
            json!(record.model),
            json!(record.ending.label()),
            json!((record.ending != Ending::Open).then_some(record.status)),
            json!(Some(record.cause).filter(|cause| !cause.is_empty())),
            json!(record.prompt),
            json!(record.cached),
            json!(record.cache_write),
            json!(record.prompt_audio),
            json!(record.completion),
            json!(record.reasoning),
            json!(record.completion_audio),
            json!(record.estimated),
            json!(record.priced.then(|| usd(i64::try_from(record.cost_nanos).unwrap_or(i64::MAX)))),
            json!((record.prices > 0).then_some(record.prices)),
            json!(record.stream),
            json!(record.cache_hit),
            json!(record.attempts),
            json!(record.bytes_in),
            json!(record.bytes_out),
            json!(record.parse),
            json!(record.queue),
            json!(record.connect),
            json!(record.tls),
            json!(record.upstream),
            json!(record.first_token),
            json!(record.total),
            json!((record.trace != 0).then(|| format!("{:032x}", record.trace))),
            json!(format!("{boot:016x}-{seq}")),
            NO,
        ],
        Entry::Correction(correction) => {
            let mut cells = [NO; 35];
            let place = correction.exchange.map(|(boot, seq)| format!("{boot:016x}-{seq}"));
            for (column, value) in [
                ("kind", json!("correction")),
                ("id", json!(Some(correction.id).filter(|id| !id.is_empty()))),
                ("started", json!(time(correction.valid_ms))),
                ("key", json!(correction.key)),
                ("route", json!(correction.route)),
                ("upstream", json!(correction.upstream)),
                ("model", json!(correction.model)),
                ("cost_usd", json!(usd(correction.nanos))),
                ("prices", json!((correction.prices > 0).then_some(correction.prices))),
                ("entry", json!(place)),
                ("reason", json!(correction.reason)),
            ] {
                let cell = COLUMNS.iter().zip(&mut cells).find(|(name, _)| **name == column);
                if let Some((_, cell)) = cell {
                    *cell = value;
                }
            }
            cells
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 has them.
fn time(ms: u64) -> String {
    let seconds = rfc3339(ms / 1000);
    let whole = seconds.strip_suffix('Z').unwrap_or(&seconds);
    format!("{whole}.{:03}Z", ms % 1000)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Record;
    use crate::store::ledger::Correction;

    fn sums(requests: i64, cost_nanos: i64) -> Sums {
        let tokens = [1_234_567, 200, 0, 0, 89_012, 0, 0];
        Sums { requests, tokens, cost_nanos, ..Sums::default() }
    }

    fn row(key: &str, model: &str, sums: Sums) -> Usage {
        let text = |text: &str| Some(text.to_owned());
        Usage {
            day: Some(20_000),
            key: text(key),
            route: None,
            upstream: None,
            model: text(model),
            sums,
        }
    }

    const DAYS: Days = Days { from: Some(20_000), to: None, key: None };

    #[test]
    fn tables_fit_a_terminal_and_say_what_is_not_known() {
        let by = [Part::Day, Part::Key, Part::Model];
        let long = "meta/llama-4-maverick-17b-128e-instruct-maas@2026-07-01";
        let guessed = Sums { estimated: 1, open: 1, ..sums(70_000, 1_234_567_890) };
        let unknown = Sums { unpriced: 2, ..sums(2, 0) };
        let back = Sums { corrected_nanos: -1_500_000_000, ..Sums::default() };
        let rows =
            [row("team-a", "gpt-5", guessed), row("", long, unknown), row("team-a", "", back)];
        let mut all = Sums::default();
        rows.iter().for_each(|row| all.add(&row.sums, 1));
        let text = sums_text(&by, &rows, &all);
        let want = "\
DAY         KEY     MODEL           REQUESTS  TOKENS IN  TOKENS OUT     COST USD
2024-10-04  team-a  gpt-5              70000    1234567       89012   1.234568~
2024-10-04  -       meta/llama-4-…         2    1234567       89012      unknown
2024-10-04  team-a  -                      0          0           0  -1.500000
total                                  70002    2469134      178024  -0.265432~+
+ without 2 requests, whose cost is not known
~ with 1 request, whose tokens are estimated
  1 request without an end, charged what was reserved
";
        assert_eq!(text, want);
    }

    #[test]
    fn json_and_csv_have_every_figure() {
        let one = Sums { unpriced: 1, corrected_nanos: 5, ..sums(3, 1_000_000_001) };
        let rows = [row("a,\"b\"", "m", one)];
        let text = sums_json(&DAYS, &[Part::Key], &rows, &one);
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["requests"], 3);
        assert_eq!(read["tokens"]["prompt"], 1_234_567);
        assert_eq!(read["tokens"]["completion"], 89_012);
        assert_eq!(
            (&read["cost_usd"], &read["unpriced_requests"]),
            (&json!("1.000000006"), &json!(1))
        );
        assert_eq!((&read["from"], &read["to"]), (&json!("2024-10-04"), &Value::Null));
        assert_eq!(read["rows"][0]["key"], "a,\"b\"");
        assert_eq!(read["rows"][0]["cost_usd"], "1.000000006");
        let unknown = Sums { unpriced: 3, ..sums(3, 0) };
        let text = sums_json(&DAYS, &[], &[], &unknown);
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&read["cost_usd"], &read["rows"]), (&Value::Null, &json!([])));
        let csv = sums_csv(&[Part::Key], &rows, &one);
        let want = "key,requests,prompt,cached,cache_write,prompt_audio,completion,reasoning,\
                    completion_audio,cost_usd,corrected_usd,unpriced_requests,\
                    estimated_requests,unsuccessful_requests,open_requests,cache_hits\r\n\
                    \"a,\"\"b\"\"\",3,1234567,200,0,0,89012,0,0,1.000000006,0.000000005,1,0,0,0,0\r\n";
        assert_eq!(csv, want);
    }

    #[test]
    fn entries_have_a_cell_for_each_column() {
        let record = Record {
            started_ms: 1_709_251_199_042,
            id: "req_1",
            cost_nanos: 1_500,
            priced: true,
            trace: 0xab,
            ..Record::default()
        };
        let row = cells(&Entry::Exchange { boot: 0xfe, seq: 7, record });
        let at = |name| &row[COLUMNS.iter().position(|column| *column == name).unwrap()];
        assert_eq!(at("started"), "2024-02-29T23:59:59.042Z");
        assert_eq!(at("cost_usd"), "0.0000015");
        assert_eq!(at("entry"), "00000000000000fe-7");
        assert_eq!(at("trace"), "000000000000000000000000000000ab");
        assert_eq!((at("status"), at("ending")), (&Value::Null, &json!("open")));
        let correction = Correction {
            written_ms: 2,
            valid_ms: 1,
            nanos: -25,
            exchange: Some((0xfe, 7)),
            id: "",
            key: "team-a",
            route: "",
            upstream: "",
            model: "",
            prices: 0,
            reason: "a credit",
        };
        let row = cells(&Entry::Correction(correction));
        let at = |name| &row[COLUMNS.iter().position(|column| *column == name).unwrap()];
        assert_eq!((at("kind"), at("cost_usd")), (&json!("correction"), &json!("-0.000000025")));
        assert_eq!((at("reason"), at("id")), (&json!("a credit"), &Value::Null));
    }
}
