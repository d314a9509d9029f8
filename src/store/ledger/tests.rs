//! Tests of the ledger on real files.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::TryRecvError;

use super::{By, Entry, Ledger, Mode, Repriced, Span, Sums};
use crate::base::date::DAY_MS;
use crate::journal::{Ending, Record};

/// A folder that goes when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("vb-ledger-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::open(&self.file("vertex-bridge.db")).expect("a ledger")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// An exchange of `key` that began on a day of January 1970 and was answered.
pub(super) fn answered(key: &'static str, day: u64, nanos: u64) -> Record<'static> {
    Record {
        started_ms: (day - 1) * DAY_MS + 5,
        written_ms: (day - 1) * DAY_MS + 9,
        prompt: 10,
        cached: 4,
        completion: 3,
        cost_nanos: nanos,
        priced: true,
        prices: 20_260_704,
        status: 200,
        attempts: 1,
        ending: Ending::Answered,
        id: "req_1",
        key,
        route: "fast",
        upstream_name: "google",
        model: "gemini-2.5-flash",
        ..Record::default()
    }
}

/// All rows of a table as text.
pub(super) fn dump(ledger: &Ledger, query: &str) -> Vec<String> {
    let mut statement = ledger.db.connection.prepare(query).expect(query);
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
        cells.map(|cell| cell.map(|cell| format!("{cell:?}"))).collect::<Result<Vec<_>, _>>()
    });
    rows.unwrap().map(|row| row.unwrap().join(" ")).collect()
}

#[test]
fn what_is_stored_twice_is_stored_once() {
    let folder = Folder::new("twice");
    let mut ledger = folder.ledger();
    let batch: Vec<_> = (0..100).map(|seq| (seq, answered("team-a", 2, 7 + seq))).collect();
    ledger.append(u64::MAX, &batch).expect("stored");
    let rows = dump(&ledger, "SELECT * FROM exchange");
    let days = dump(&ledger, "SELECT * FROM day");
    assert_eq!((rows.len(), days.len()), (100, 1));
    ledger.append(u64::MAX, &batch).expect("stored");
    ledger.append(u64::MAX, &batch[..50]).expect("stored");
    folder.ledger().append(u64::MAX, &batch[20..]).expect("stored");
    assert_eq!(dump(&ledger, "SELECT * FROM exchange"), rows);
    assert_eq!(dump(&ledger, "SELECT * FROM day"), days);
    ledger.append(1, &batch).expect("stored");
    assert_eq!(dump(&ledger, "SELECT * FROM exchange").len(), 200, "another process");
    let spent = 2 * (7..107).sum::<u64>();
    assert_eq!(ledger.spent("team-a", 0, u64::MAX).unwrap(), spent);
}

#[test]
fn an_admission_is_charged_its_reservation_until_its_settlement_comes() {
    let folder = Folder::new("open");
    let mut ledger = folder.ledger();
    let settled = answered("team-a", 2, 7);
    let open = Record {
        ending: Ending::Open,
        status: 0,
        priced: false,
        cost_nanos: 0,
        reserved_nanos: 900,
        upstream_name: "",
        model: "",
        prompt: 0,
        cached: 0,
        completion: 0,
        ..settled
    };
    let unknown = Record { reserved_nanos: 0, ..open };
    ledger.append(1, &[(1, open), (2, open), (3, unknown)]).expect("stored");
    let sums = "SELECT sum(requests), sum(open), sum(estimated), sum(unpriced), sum(prompt), \
                sum(cost_nanos) FROM day";
    assert_eq!(
        dump(&ledger, sums),
        ["Integer(3) Integer(3) Integer(3) Integer(1) Integer(0) Integer(1800)"]
    );
    let flags = "SELECT ending, estimated, cost_nanos FROM exchange ORDER BY seq";
    assert_eq!(dump(&ledger, flags)[2], "Integer(0) Integer(1) Null");
    let other = Record { reserved_nanos: 5, ..open };
    ledger.append(1, &[(1, other)]).expect("stored");
    assert_eq!(ledger.spent("team-a", 0, u64::MAX).unwrap(), 1800, "an admission replaces none");
    ledger.append(1, &[(1, settled)]).expect("stored");
    ledger.append(1, &[(1, open)]).expect("stored");
    ledger.append(1, &[(1, Record { cost_nanos: 1, ..settled })]).expect("stored");
    assert_eq!(ledger.spent("team-a", 0, u64::MAX).unwrap(), 907);
    assert_eq!(
        dump(&ledger, sums),
        ["Integer(3) Integer(2) Integer(2) Integer(1) Integer(10) Integer(907)"]
    );
}

#[test]
fn spend_is_summed_over_any_span_of_time() {
    let folder = Folder::new("spent");
    let mut ledger = folder.ledger();
    let mut batch = Vec::new();
    for day in 1..=10 {
        batch.push((2 * day, answered("team-a", day, 1 << day)));
        batch.push((2 * day + 1, answered("team-b", day, 1 << (day + 16))));
    }
    ledger.append(1, &batch).expect("stored");
    for from in 0..=22 {
        for to in 0..=22 {
            // Records stand 5 ms behind the beginning of each day, bounds before and behind them.
            let at = |half: u64| half / 2 * DAY_MS + half % 2 * 7;
            let within = |day: &u64| {
                let began = (day - 1) * DAY_MS + 5;
                at(from) <= began && began < at(to)
            };
            let want: u64 = (1..=10).filter(within).map(|day| 1_u64 << day).sum();
            let found = ledger.spent("team-a", at(from), at(to)).unwrap();
            assert_eq!(found, want, "from {from} to {to} half days");
            let all = ledger.spent_by_key(at(from), at(to)).unwrap();
            let pair = |key: &str, nanos| (key.to_owned(), nanos);
            let both = [pair("team-a", want), pair("team-b", want << 16)];
            assert_eq!(all, if want > 0 { both.to_vec() } else { Vec::new() });
        }
    }
    assert_eq!(ledger.spent("nobody", 0, u64::MAX).unwrap(), 0);
}

#[test]
fn absurd_figures_are_bounded_and_sums_stay_whole() {
    let folder = Folder::new("absurd");
    let mut ledger = folder.ledger();
    let most = u64::MAX;
    let absurd = Record {
        written_ms: most,
        prompt: most,
        completion: most,
        reserved_nanos: most,
        cost_nanos: most,
        bytes_in: most,
        trace: u128::MAX,
        span: most,
        ..answered("team-a", 1, 0)
    };
    let batch: Vec<_> = (0..1000).map(|seq| (most - seq, absurd)).collect();
    ledger.append(most, &batch).expect("stored");
    assert_eq!(ledger.spent("team-a", 0, most).unwrap(), 1000 << 50);
    ledger.append(2, &[(1, Record { started_ms: most, ..absurd })]).expect("stored");
    assert_eq!(dump(&ledger, "SELECT * FROM day").len(), 2);
    ledger.append(2, &[]).expect("nothing to store");
}

/// Ten days with two keys and models, of which one has no price; an admission without an end.
fn books() -> Vec<(u64, Record<'static>)> {
    let mut batch = Vec::new();
    for day in 1..=10 {
        let record = answered("team-a", day, 1000 * day);
        let other = Record { key: "team-b", model: "unheard-of", priced: false, ..record };
        let failed = Record { ending: Ending::Failed, status: 502, cost_nanos: 0, ..record };
        batch.extend([(3 * day - 2, record), (3 * day - 1, other), (3 * day, failed)]);
    }
    let open = Record { ending: Ending::Open, reserved_nanos: 50, priced: false, ..batch[0].1 };
    batch.push((31, open));
    batch
}

fn days(from: u64, to: u64) -> Span<'static> {
    Span { from_day: Some(from - 1), to_day: Some(to - 1), key: None }
}

#[test]
fn reports_divide_and_filter() {
    let folder = Folder::new("report");
    let mut ledger = folder.ledger();
    ledger.append(1, &books()).expect("stored");
    let all = ledger.usage(&Span::default(), &[]).unwrap();
    assert_eq!(all.len(), 1);
    let sums = all[0].sums;
    assert_eq!((sums.requests, sums.unpriced, sums.unsuccessful, sums.open), (31, 10, 10, 1));
    assert_eq!((sums.charged(), sums.tokens), (Some(55_050), [310, 124, 0, 0, 93, 0, 0]));
    let by_key = ledger.usage(&days(2, 3), &[By::Key]).unwrap();
    let shown: Vec<_> = by_key
        .iter()
        .map(|row| (row.key.as_deref(), row.day, row.sums.requests, row.sums.charged()))
        .collect();
    let want = [(Some("team-a"), None, 4, Some(5000)), (Some("team-b"), None, 2, None)];
    assert_eq!(shown, want);
    let one = Span { key: Some("team-b"), ..Span::default() };
    let by_day = ledger.usage(&one, &[By::Model, By::Day]).unwrap();
    assert_eq!(by_day.len(), 10);
    assert!(by_day.iter().zip(0..).all(|(row, day)| row.day == Some(day)));
    assert!(by_day.iter().all(|row| row.model.as_deref() == Some("unheard-of")));
    let five = [By::Day, By::Key, By::Route, By::Upstream, By::Model];
    let rows = ledger.usage(&Span::default(), &five).unwrap();
    assert_eq!(rows.len(), 20);
    let mut sum = Sums::default();
    rows.iter().for_each(|row| sum.add(&row.sums, 1));
    assert_eq!(sum, sums);
    let nobody = Span { key: Some("nobody"), ..Span::default() };
    assert!(ledger.usage(&nobody, &[]).unwrap().iter().all(|row| row.sums.requests == 0));
    assert!(ledger.usage(&days(11, 20), &five).unwrap().is_empty());
}

#[test]
fn every_entry_is_shown_as_it_was_recorded() {
    let folder = Folder::new("entries");
    let mut ledger = folder.ledger();
    let record = Record {
        trace: 1 << 100,
        span: u64::MAX,
        prompt: 1,
        cached: 2,
        cache_write: 3,
        prompt_audio: 4,
        completion: 5,
        reasoning: 6,
        completion_audio: 7,
        cache_write_1h: 20,
        cached_audio: 21,
        completion_image: 22,
        tier: 3,
        reserved_nanos: 8,
        bytes_in: 9,
        bytes_out: 10,
        parse: 11,
        queue: 12,
        connect: 13,
        tls: 14,
        upstream: 15,
        waited: 16,
        first_token: 17,
        total: 18,
        shard: 19,
        ending: Ending::Broken,
        estimated: true,
        stream: true,
        cache_hit: true,
        cause: "upstream_error",
        id: "req_2",
        ..answered("team-a", 3, 77)
    };
    let mut batch = books();
    batch.push((99, record));
    ledger.append(5, &batch).expect("stored");
    let mut seen = Vec::new();
    ledger
        .entries(&Span::default(), |entry| {
            if let Entry::Exchange { boot, seq, record } = entry {
                seen.push((*boot, *seq, record.started_ms));
                let (_, want) = batch.iter().find(|(number, _)| number == seq).unwrap();
                let open = want.ending == Ending::Open;
                let cost = if open { want.reserved_nanos } else { want.cost_nanos };
                let priced = want.priced || open;
                let want = Record {
                    priced,
                    cost_nanos: if priced { cost } else { 0 },
                    estimated: want.estimated || open,
                    ..*want
                };
                assert_eq!(*record, want);
            }
            true
        })
        .unwrap();
    assert_eq!(seen.len(), 32);
    assert!(seen.is_sorted_by_key(|(_, seq, started)| (*started, *seq)), "{seen:?}");
    let mut few = 0;
    let mut stop = |_: &Entry<'_>| {
        few += 1;
        few < 3
    };
    ledger.entries(&days(2, 9), &mut stop).unwrap();
    assert_eq!(few, 3);
}

#[test]
fn reading_by_time_needs_no_sorting() {
    let folder = Folder::new("plan");
    let ledger = folder.ledger();
    let query = super::entry::EXCHANGES.replace("?5", "NULL").replace('?', "");
    let plan = dump(&ledger, &format!("EXPLAIN QUERY PLAN {query}")).join("\n");
    assert!(plan.contains("SEARCH e USING INDEX exchange_started"), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn corrections_are_entries_of_their_own_and_sums_follow() {
    let folder = Folder::new("correct");
    let mut ledger = folder.ledger();
    ledger.append(1, &books()).expect("stored");
    let rows = dump(&ledger, "SELECT * FROM exchange");
    let now = 4 * DAY_MS + 7;
    // What was unknown costs 10, what was priced above 5,000 costs 5,000; nothing else is known.
    let price = |record: &Record<'_>| match record.model {
        "unheard-of" => Some((10, 20_270_101)),
        _ if record.cost_nanos > 5000 => Some((5000, 20_270_101)),
        _ => None,
    };
    let mut looked_at = |key| {
        let span = Span { key: Some(key), ..days(4, 7) };
        ledger.reprice(now, &span, &price, Mode::DryRun).unwrap().exchanges
    };
    let of_each = ["team-a", "team-b", "nobody"].map(&mut looked_at);
    assert!(of_each[0] > 0 && of_each[1] > 0 && of_each[2] == 0, "{of_each:?}");
    assert_eq!(of_each[0] + of_each[1], 12);
    let told = ledger.reprice(now, &days(4, 7), &price, Mode::DryRun).unwrap();
    let want = Repriced { exchanges: 12, changed: 6, first_priced: 4, unpriced: 0, nanos: -2960 };
    assert_eq!(told, want);
    assert!(dump(&ledger, "SELECT * FROM correction").is_empty());
    assert_eq!(ledger.reprice(now, &days(4, 7), &price, Mode::Write).unwrap(), want);
    let again = ledger.reprice(now, &days(4, 7), &price, Mode::Write).unwrap();
    assert_eq!(again, Repriced { exchanges: 12, ..Repriced::default() });
    assert_eq!(dump(&ledger, "SELECT * FROM exchange"), rows, "no record is rewritten");
    let unknown = ledger.usage(&Span { key: Some("team-b"), ..days(4, 7) }, &[]).unwrap();
    assert_eq!((unknown[0].sums.unpriced, unknown[0].sums.charged()), (0, Some(40)));
    ledger.adjust(now, "team-a", -22_000, "a credit").expect("written");
    let refused = ledger.adjust(now, "nobody", 1, "a slip").unwrap_err().to_string();
    assert!(refused.contains("\"nobody\""), "{refused}");
    let fifth = Span { key: Some("team-a"), ..days(5, 5) };
    let sums = ledger.usage(&fifth, &[]).unwrap()[0].sums;
    assert_eq!((sums.cost_nanos, sums.corrected_nanos), (5000, -22_000));
    assert_eq!(ledger.spent("team-a", 4 * DAY_MS, 5 * DAY_MS).unwrap(), 0, "not below nothing");
    assert_eq!(ledger.spent("team-a", 4 * DAY_MS, 4 * DAY_MS + 7).unwrap(), 5000);
    let mut total = 0;
    let mut reasons = Vec::new();
    ledger
        .entries(&Span::default(), |entry| {
            total += match entry {
                Entry::Exchange { record, .. } => i64::try_from(record.cost_nanos).unwrap(),
                Entry::Correction(correction) => {
                    reasons.push((correction.id.to_owned(), correction.reason.to_owned()));
                    correction.nanos
                }
            };
            true
        })
        .unwrap();
    let all = ledger.usage(&Span::default(), &[]).unwrap()[0].sums;
    assert_eq!(Some(total), all.charged());
    assert_eq!(reasons.len(), 7);
    assert!(reasons.contains(&(String::new(), "a credit".to_owned())));
    let right = ledger.verify(Some(&[])).unwrap();
    assert_eq!((right.corrections, &right.problems), (7, &Vec::new()));
}

#[test]
fn old_exchanges_go_bit_by_bit_and_their_sums_stay() {
    let folder = Folder::new("forget");
    let mut ledger = folder.ledger();
    ledger.append(1, &books()).expect("stored");
    ledger.adjust(2 * DAY_MS, "team-a", 5, "a slip").expect("written");
    let sums = ledger.usage(&Span::default(), &[By::Day, By::Key]).unwrap();
    let mut removed = Vec::new();
    while removed.last() != Some(&0) {
        removed.push(ledger.forget(6 * DAY_MS, 4).expect("removed"));
    }
    assert_eq!(removed, [5, 4, 4, 4, 3, 0]);
    assert_eq!(dump(&ledger, "SELECT * FROM exchange").len(), 12);
    assert_eq!(ledger.usage(&Span::default(), &[By::Day, By::Key]).unwrap(), sums);
    let right = ledger.verify(Some(&[])).unwrap();
    assert_eq!((right.exchanges, right.problems), (12, Vec::new()));
}

#[test]
fn a_check_finds_what_is_missing_and_what_was_changed() {
    let folder = Folder::new("verify");
    let mut ledger = folder.ledger();
    let books = books();
    ledger.append(0xabc, &books).expect("stored");
    let right = ledger.verify(Some(&[])).unwrap();
    assert_eq!((right.exchanges, right.open, &right.problems), (31, 1, &Vec::new()));
    let gap: Vec<_> = books.iter().filter(|(seq, _)| *seq != 7 && *seq != 1).copied().collect();
    ledger.append(0xdef, &gap).expect("stored");
    let problems = ledger.verify(Some(&[])).unwrap().problems;
    assert_eq!(problems, ["2 exchanges are missing of process 0000000000000def"]);
    for running in [Some(&[0xdef][..]), None] {
        let found = ledger.verify(running).unwrap();
        assert_eq!((found.pending, found.problems.len()), (2, 0));
    }
    let refused = Record { key: "", route: "", ..books[0].1 };
    ledger.append(0xdef, &[(7, refused), (1, refused), (100, refused)]).expect("stored");
    assert_eq!(ledger.verify(Some(&[])).unwrap().problems, [""; 0]);
    let change = "UPDATE exchange SET cost_nanos = 1 WHERE seq = 4 AND process = 1";
    ledger.db.connection.execute(change, []).unwrap();
    let problems = ledger.verify(None).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("1970-01-02"), "{problems:?}");
    ledger.db.connection.execute("DELETE FROM day", []).unwrap();
    assert_eq!(ledger.verify(None).unwrap().problems.len(), 20);
}

#[test]
fn numbers_without_rows_become_few_spans() {
    let folder = Folder::new("skipped");
    let mut ledger = folder.ledger();
    let nobody = Record { key: "", route: "", ..answered("", 1, 0) };
    let mut rng = crate::base::Rng::new(5);
    let mut left: std::collections::BTreeSet<u64> =
        (1..=400).filter(|number| number % 100 != 0).collect();
    let wanted = left.clone();
    while !left.is_empty() {
        let some = wanted.iter().filter(|_| rng.percent(10));
        let batch: Vec<_> = some.map(|number| (*number, nobody)).collect();
        left.retain(|number| batch.iter().all(|(noted, _)| noted != number));
        ledger.append(1, &batch).expect("stored");
        let spans = dump(
            &ledger,
            "SELECT a.first FROM skipped a JOIN skipped b \
            ON a.first > b.first AND a.first <= b.last + 1",
        );
        assert!(spans.is_empty(), "they overlap or touch: {spans:?}");
        let noted = dump(&ledger, "SELECT sum(last - first + 1) FROM skipped");
        let count = wanted.len() - left.len();
        assert!(count == 0 || noted == [format!("Integer({count})")], "{noted:?} of {count}");
    }
    let want = ["1) Integer(99)", "101) Integer(199)", "201) Integer(299)", "301) Integer(399)"];
    let want = want.map(|span| format!("Integer({span}"));
    assert_eq!(dump(&ledger, "SELECT first, last FROM skipped"), want);
    assert!(dump(&ledger, "SELECT * FROM exchange").is_empty());
}

#[test]
fn a_copy_is_whole_while_others_write() {
    let folder = Folder::new("backup");
    let mut ledger = folder.ledger();
    ledger.append(1, &books()).expect("stored");
    let (go_on, stop) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // It ends with us, also when we fail.
        let _go_on = go_on;
        let mut writer = folder.ledger();
        scope.spawn(move || {
            let mut boot = 2;
            while stop.try_recv() != Err(TryRecvError::Disconnected) {
                writer.append(boot, &books()).expect("stored");
                boot += 1;
            }
        });
        for copy in 0..5 {
            let file = folder.file(&format!("copy-{copy}"));
            ledger.back_up(&file).expect("copied");
            let copied = Ledger::open_to_read(&file).expect("it opens");
            let found = copied.verify(Some(&[])).expect("it is read");
            assert!(found.exchanges.is_multiple_of(31) && found.problems.is_empty(), "{found:?}");
            let rights = std::fs::metadata(&file).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&rights) & 0o777, 0o600);
            let refused = ledger.back_up(&file).unwrap_err().to_string();
            assert!(refused.contains("there already"), "{refused}");
        }
    });
    let nowhere = ledger.back_up(&folder.file("no/such/copy")).unwrap_err();
    assert!(nowhere.to_string().contains("no/such/copy"), "{nowhere}");
    let names = std::fs::read_dir(&folder.0).unwrap();
    let partial = names
        .filter(|name| name.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".partial"));
    assert_eq!(partial.count(), 0);
}

#[test]
fn without_room_nothing_is_stored_and_with_room_again_all() {
    let folder = Folder::new("full");
    let mut ledger = folder.ledger();
    let pages: i64 = dump_number(&ledger, "PRAGMA page_count");
    ledger.db.connection.pragma_update(None, "max_page_count", pages + 3).unwrap();
    let batch: Vec<_> = (1..=2000).map(|seq| (seq, answered("new-key", 2, 7))).collect();
    let error = ledger.append(1, &batch).unwrap_err();
    assert!(error.full, "{error}");
    assert!(dump(&ledger, "SELECT * FROM exchange").is_empty());
    assert_eq!(dump(&ledger, "SELECT * FROM word").len(), 1, "nothing of it");
    ledger.db.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    ledger.append(1, &batch).expect("stored");
    assert_eq!(ledger.spent("new-key", 0, u64::MAX).unwrap(), 14_000);
    let found = ledger.verify(Some(&[])).unwrap();
    assert_eq!((found.exchanges, found.problems), (2000, Vec::new()));
}

fn dump_number(ledger: &Ledger, query: &str) -> i64 {
    ledger.db.connection.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Not a test of its own: the writer that [`a_writer_may_be_killed_at_any_time`] kills. It says
/// after each batch up to which number everything is stored.
#[test]
#[ignore = "run by another test"]
fn writer() {
    let Some(file) = std::env::var_os("VB_LEDGER") else { return };
    let from: u64 = std::env::var_os("VB_FROM").unwrap().to_str().unwrap().parse().unwrap();
    let mut ledger = Ledger::open(std::path::Path::new(&file)).expect("a ledger");
    for first in (from..).step_by(100) {
        let batch: Vec<_> =
            (first..first + 100).map(|seq| (seq, answered("team-a", 1 + seq % 28, seq))).collect();
        ledger.append(9, &batch).expect("stored");
        println!("stored {}", first + 99);
    }
}

#[test]
fn a_writer_may_be_killed_at_any_time() {
    let folder = Folder::new("killed");
    let path = folder.file("vertex-bridge.db");
    let mut stored = 0_u64;
    let mut rng = crate::base::Rng::new(3);
    for _ in 0..20 {
        // As after a restart, the newest records come once more.
        let from = stored.saturating_sub(150) + 1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::ledger::tests::writer", "--nocapture"])
            .env("VB_LEDGER", &path)
            .env("VB_FROM", from.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ourselves");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers = lines
            .map_while(Result::ok)
            .filter_map(|line| line.rsplit_once("stored ")?.1.parse::<u64>().ok());
        let enough = 1 + rng.below(8);
        for (count, number) in (1..).zip(numbers) {
            stored = stored.max(number);
            if count == enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let ledger = folder.ledger();
        let found = ledger.verify(Some(&[])).unwrap();
        // What was said to be stored is, and of the batch that ran all or nothing.
        assert!(found.problems.is_empty(), "{found:?}");
        let after = found.exchanges;
        assert!(after == stored || after == stored + 100, "{after} of {stored}");
        assert_eq!(ledger.spent("team-a", 0, u64::MAX).unwrap(), after * (after + 1) / 2);
        stored = after;
    }
}

/// What this program knows of the tables must stay enough when a later release has added to them.
#[test]
fn tables_with_news_are_read_and_written() {
    let folder = Folder::new("news");
    let mut ledger = folder.ledger();
    ledger.append(1, &books()).expect("stored");
    let later = "ALTER TABLE exchange ADD COLUMN news INTEGER NOT NULL DEFAULT 7;
                 ALTER TABLE day ADD COLUMN news INTEGER NOT NULL DEFAULT 0;
                 ALTER TABLE correction ADD COLUMN news TEXT;
                 CREATE TABLE news (x);
                 PRAGMA user_version = 1000;";
    folder.ledger().db.connection.execute_batch(later).unwrap();
    for mut ledger in [ledger, folder.ledger()] {
        let before = ledger.verify(Some(&[])).unwrap().exchanges;
        ledger.append(before, &books()).expect("stored");
        ledger.adjust(7, "team-a", 5, "a slip").expect("written");
        let found = ledger.verify(Some(&[])).unwrap();
        assert_eq!((found.exchanges, found.problems), (before + 31, Vec::new()));
    }
}
