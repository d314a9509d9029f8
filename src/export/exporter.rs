//! From records to a collector: what the journal's thread hands over, and what a thread of its own
//! makes of it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::base::{Rng, Tick};
use crate::journal::{Ending, RECORD_BYTES, Record};
use crate::obs::ExportCells;
use crate::obs::log::{self, Level};
use crate::rt::{Clock, unix_millis};

use super::collector::{Collector, Refused};
use super::delivery::{Delivery, Fate};
use super::span::{Places, spans};

/// Records on their way to the exporter's thread, while that one waits for the collector.
const HANDED_MAX: usize = 2048;

/// Without anything to send it is looked this often whether the process still lives.
const NOTHING: Duration = Duration::from_hours(1);

/// Takes records of exchanges; on the journal's thread. Dropping it ends the exporter.
#[derive(Debug)]
pub struct Feed {
    sender: SyncSender<Box<[u8]>>,
    cells: Arc<ExportCells>,
}

/// Sends them; on a thread of its own, because it blocks.
#[derive(Debug)]
pub struct Exporter {
    collector: Collector,
    places: Places,
    records: Receiver<Box<[u8]>>,
    cells: Arc<ExportCells>,
    clock: Clock,
    random: Rng,
    delivery: Delivery,
    /// Was the last batch taken? What changes is said once.
    well: bool,
}

impl Feed {
    /// Hands an exchange that has ended on, if its trace is recorded. Never blocks: what does not
    /// fit is lost and counted.
    pub fn on_record(&mut self, record: &Record<'_>) {
        if !record.sampled || record.ending == Ending::Open {
            return;
        }
        let mut room = [0; RECORD_BYTES];
        let length = record.encode(&mut room);
        let bytes = room.get(..length).unwrap_or_default();
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.sender.try_send(bytes.into())
        {
            self.cells.full.add(1);
        }
    }
}

impl Exporter {
    /// An exporter to `collector`, and what feeds it. `seed` spreads the tries of many gateways.
    pub fn new(
        collector: Collector,
        places: Places,
        cells: Arc<ExportCells>,
        seed: u64,
    ) -> (Feed, Self) {
        let (sender, records) = sync_channel(HANDED_MAX);
        let feed = Feed { sender, cells: Arc::clone(&cells) };
        let exporter = Self {
            collector,
            places,
            records,
            cells,
            clock: Clock::start(),
            random: Rng::new(seed),
            delivery: Delivery::default(),
            well: true,
        };
        (feed, exporter)
    }

    /// Runs until the feed is dropped; then what waits is tried once more.
    pub fn run(mut self) {
        loop {
            let now = self.clock.now();
            let due = self.delivery.due(now);
            if due.is_some_and(|due| due <= now) {
                self.send(now);
                continue;
            }
            let wait = due.map_or(NOTHING, |due| due.since(now));
            match self.records.recv_timeout(wait) {
                Ok(record) => self.take(record),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    fn take(&mut self, record: Box<[u8]>) {
        if !self.delivery.add(self.clock.now(), record) {
            self.cells.waiting_full.add(1);
        }
    }

    /// Sends a batch.
    fn send(&mut self, now: Tick) -> Fate {
        let records = self.delivery.batch().filter_map(Record::decode);
        let (mut exchanges, mut all) = (0, Vec::new());
        for record in records {
            all.extend(spans(&record, &self.places));
            exchanges += 1;
        }
        let count = u64::try_from(all.len()).unwrap_or(0);
        let result = self.collector.send(all);
        let random = self.random.bits();
        let fate = self.delivery.on_sent(now.max(self.clock.now()), result.err(), random);
        match fate {
            Fate::Taken => {
                let rejected = result.unwrap_or(0).min(count);
                self.cells.spans.add(count - rejected);
                self.cells.rejected.add(rejected);
            }
            Fate::Lost => self.cells.lost.add(exchanges),
            Fate::Again => {}
        }
        self.tell(result);
        fate
    }

    /// One line when it begins to fail, one when it is well again.
    fn tell(&mut self, result: Result<u64, Refused>) {
        let well = result.is_ok();
        if well == std::mem::replace(&mut self.well, well) {
            return;
        }
        match result {
            Ok(_) => log::write(Level::Info, unix_millis(), "the collector takes traces again"),
            Err(why) => {
                let message = format!("the collector takes no traces: {why}");
                log::write(Level::Warn, unix_millis(), &message);
            }
        }
    }

    /// Nothing more comes.
    fn finish(mut self) {
        while self.delivery.waiting() > 0 && self.send(self.clock.now()) != Fate::Again {}
        self.cells.lost.add(u64::try_from(self.delivery.waiting()).unwrap_or(0));
    }
}
