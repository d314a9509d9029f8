//! systemd's watchdog (`WatchdogSec=`, `sd_watchdog_enabled(3)`): it is told that the service lives
//! as long as every shard and the control thread answer.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use crate::rt::{Accepted, Clock, Mailbox};
use crate::shard::{Deed, Letter, Order, Report};

use super::handover::notify;

/// So many times within the time that systemd waits it is told.
const PARTS: u32 = 3;

/// Starts the thread that asks and tells, if systemd wants to be told.
///
/// # Errors
/// The operating system gives no thread.
pub(super) fn keep(
    mailboxes: &[Mailbox<Letter<Accepted>>],
    control: &Sender<Report>,
) -> io::Result<()> {
    let Some(every) = std::env::var_os("WATCHDOG_USEC")
        .and_then(|text| text.into_string().ok())
        .and_then(|text| interval(&text))
    else {
        return Ok(());
    };
    let (mailboxes, control) = (mailboxes.to_vec(), control.clone());
    let watching = move || {
        loop {
            thread::park_timeout(every);
            if all_answer(&mailboxes, &control, every) {
                notify("WATCHDOG=1");
            }
        }
    };
    thread::Builder::new().name("vb-watchdog".to_owned()).spawn(watching).map(drop)
}

/// How often systemd is told that waits for so many microseconds.
fn interval(text: &str) -> Option<Duration> {
    let micros: u64 = text.parse().ok().filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros) / PARTS)
}

/// Does everybody answer within this time? A process that another has taken over from does not: its
/// successor speaks for the service.
fn all_answer(
    mailboxes: &[Mailbox<Letter<Accepted>>],
    control: &Sender<Report>,
    within: Duration,
) -> bool {
    let (done, answers) = channel();
    let clock = Clock::start();
    let end = clock.now().after(within);
    for shard in mailboxes {
        shard.send(Letter::Order(Order { what: Deed::Answer, done: done.clone() }));
    }
    if control.send(Report::Alive(done)).is_err() {
        return false;
    }
    let left = || end.since(clock.now());
    (0..=mailboxes.len()).all(|_| answers.recv_timeout(left()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_three_times_in_its_time() {
        assert_eq!(interval("30000000"), Some(Duration::from_secs(10)));
        for text in ["", "0", "-1", "soon"] {
            assert_eq!(interval(text), None, "{text}");
        }
    }
}
