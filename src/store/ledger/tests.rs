//! Tests of the ledger on real files.

use std::path::PathBuf;

use super::Ledger;
use super::day::DAY_MS;
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

/// `cargo test --release --lib -- --ignored ledger::tests::measure --nocapture`
#[test]
#[ignore = "a measurement"]
fn measure_appending() {
    let folder = Folder::new("measure");
    let mut ledger = folder.ledger();
    let keys = ["team-a", "team-b", "team-c", "team-d"];
    let ids: Vec<String> = (0..1024)
        .map(|id: u64| format!("req_{:026x}", id.wrapping_mul(0x9e37_79b9_7f4a)))
        .collect();
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let now = std::time::Instant::now;
    let begun = now();
    let rounds = 1000;
    for round in 0..rounds {
        let record = |at: u64| Record {
            started_ms: 1_800_000_000_000 + round * 20 + at / 50,
            id: &ids[usize::try_from(at).unwrap()],
            key: keys[usize::try_from(at % 4).unwrap()],
            trace: u128::from(at) << 64 | 77,
            bytes_in: 2300,
            bytes_out: 15_000,
            total: 812_345,
            upstream: 700_000,
            parse: 55,
            ..answered("", 1, 1_234_567 + at)
        };
        let batch: Vec<_> = (0..1024).map(|at| (round * 1024 + at, record(at))).collect();
        ledger.append(1_800_000_000_000, &batch).expect("stored");
    }
    let took = begun.elapsed().as_secs_f64();
    let records = f64::from(u32::try_from(rounds * 1024).unwrap());
    let bytes = std::fs::metadata(folder.file("vertex-bridge.db")).unwrap().len();
    println!("{:.0} records/s, {bytes} bytes of {records} records", records / took);
}
