//! The thread that answers operators: it may block, so it is no core's, and it is not the control
//! thread, which must hear signals while a large report is put together.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::admin::{Api, Hands, Known, Recent, Standing, Store};
use crate::base::RequestId;
use crate::config::Config;
use crate::journal::Record;
use crate::obs::log::Level;
use crate::rt::{Accepted, Mailbox, unix_millis};
use crate::shard::{Deed, Letter, Order, Reply, Report, Switch, Watch};

use super::control::{Question, Recheck};
use super::journal::{Ask, Keeper, Listener};
use super::say::say;
use super::state;

/// How long the shards have to do what they are told. One that is at work hears within a turn.
const OBEY: Duration = Duration::from_secs(1);

/// The way to the shards, the control thread and the journal's.
pub(super) struct Reach {
    shards: Vec<Mailbox<Letter<Accepted>>>,
    control: Sender<Report>,
    journal: Sender<Ask>,
    /// Does the journal's thread write to a ledger?
    recording: bool,
    recheck: Recheck,
    /// The names of the upstreams.
    upstreams: Vec<String>,
}

/// The last exchanges, which the journal's thread tells and this one shows.
#[derive(Clone, Default)]
pub(super) struct Last(Arc<Mutex<Recent>>);

impl Last {
    /// Who hears of them.
    pub(super) fn listener(&self) -> Box<dyn Listener> {
        Box::new(self.clone())
    }
}

impl Listener for Last {
    fn hear(&mut self, record: &Record<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

/// Starts the thread and gives the way to it. `in_force` is the configuration without secrets.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn keep(
    config: &Config,
    in_force: Value,
    reach: Reach,
    last: Last,
) -> io::Result<Sender<Question>> {
    let (sender, questions) = channel();
    let count = reach.shards.len();
    let known = Known {
        config: in_force,
        secrets: config.secrets(),
        names: config.auth.keys.iter().map(|key| key.name.clone()).collect(),
        recording: reach.recording,
    };
    let (find, make) = (config.clone(), config.clone());
    let find = move || {
        let file = state::store_file(&find)?;
        Ok(file.exists().then_some(file))
    };
    let store = Store::new(Box::new(find), Box::new(move || state::make_store(&make)));
    let api = Api::new(reach, known, store, last.0);
    let answering = move || answer_all(api, &questions, count);
    thread::Builder::new().name("vb-admin".to_owned()).spawn(answering)?;
    Ok(sender)
}

fn answer_all(mut api: Api<Reach>, questions: &Receiver<Question>, shards: usize) {
    while let Ok(Question { errand, pages, uptime }) = questions.recv() {
        let standing = Standing {
            pages,
            uptime,
            now_ms: unix_millis(),
            process: std::process::id(),
            busy: busy(shards),
        };
        let answered = catch_unwind(AssertUnwindSafe(|| api.answer(&errand, &standing)));
        let reply = answered.unwrap_or_else(|_panic| {
            say(Level::Error, "the admin API has panicked: a bug");
            let content_type = "application/json";
            Reply { status: 500, content_type, fields: Vec::new(), body: b"{}".to_vec() }
        });
        errand.reply.send(reply);
    }
}

impl Reach {
    pub(super) fn new(
        shards: &[Mailbox<Letter<Accepted>>],
        control: Sender<Report>,
        keeper: &Keeper,
        (config, recheck): (&Config, Recheck),
    ) -> Self {
        let (journal, recording) = (keeper.asks.clone(), keeper.recording);
        let upstreams = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        Self { shards: shards.to_vec(), control, journal, recording, recheck, upstreams }
    }

    /// Tells every shard, and sums what they have done.
    fn order(&self, what: &Deed) -> usize {
        let (done, results) = channel();
        for shard in &self.shards {
            shard.send(Letter::Order(Order { what: what.clone(), done: done.clone() }));
        }
        drop(done);
        self.shards.iter().map_while(|_| results.recv_timeout(OBEY).ok()).sum()
    }

    fn tell(&self, report: Report) {
        // Without a control thread the process ends anyway.
        let _nobody = self.control.send(report);
    }
}

impl Hands for Reach {
    fn cancel(&mut self, tag: u64) -> usize {
        self.order(&Deed::Cancel(tag))
    }

    fn switch(&mut self, upstream: usize, to: Switch) {
        self.order(&Deed::Circuit(upstream, to));
    }

    fn capture(&mut self, watch: Option<Watch>) {
        self.order(&Deed::Capture(watch));
    }

    fn drain(&mut self) {
        self.tell(Report::Drain);
    }

    fn reload(&mut self) -> Result<(), String> {
        (self.recheck)()?;
        self.tell(Report::Reload);
        Ok(())
    }

    fn each_live(&self, show: &mut dyn FnMut(&Record<'_>)) {
        let (reply, answer) = channel();
        // Without its thread nothing runs that could be shown.
        let _nobody = self.journal.send(Ask::Running(reply));
        let (to, asking) = channel();
        self.order(&Deed::Asking(to));
        let asking: HashMap<u64, usize> = asking.try_iter().collect();
        for kept in answer.recv_timeout(OBEY).unwrap_or_default() {
            let mut record = kept.record();
            let tag = RequestId::from_client(record.id.as_bytes()).map(|id| id.tag());
            let upstream = tag.and_then(|tag| self.upstreams.get(*asking.get(&tag)?));
            record.upstream_name = upstream.map_or(record.upstream_name, String::as_str);
            show(&record);
        }
    }
}

/// Time that the thread of each shard has run, in microseconds (`schedstat` in proc(5)).
fn busy(shards: usize) -> Vec<Option<u64>> {
    let mut busy = vec![None; shards];
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return busy };
    for task in tasks.flatten().map(|task| task.path()) {
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        let shard = name.trim().strip_prefix("vb-shard-").and_then(|index| index.parse().ok());
        let Some(place) = shard.and_then(|shard: usize| busy.get_mut(shard)) else { continue };
        let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
        *place = nanos.map(|nanos| nanos / 1000);
    }
    busy
}
