//! A configuration file that has changed is a wish to reload, where the operator wants it so.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::shard::Report;

/// How often the file is looked at. One that has changed is read when it looks the same twice: what
/// writes it may not be done yet.
const EVERY: Duration = Duration::from_millis(500);

/// What tells one state of a file from another: an editor may write it in place or put another one
/// there.
type Mark = (i64, i64, u64, u64);

/// Starts the thread that looks, if the operator wants it and there is a file.
///
/// # Errors
/// The operating system gives no thread.
pub(super) fn keep(config: &Config, control: &Sender<Report>) -> io::Result<()> {
    let Some(path) = config.file.clone().filter(|_| config.reload_on_change) else {
        return Ok(());
    };
    let control = control.clone();
    let watching = move || {
        let mut changes = Changes { read: mark_of(&path), seen: None };
        loop {
            thread::park_timeout(EVERY);
            if changes.look(mark_of(&path)) && control.send(Report::Reload).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("vb-watch".to_owned()).spawn(watching).map(drop)
}

fn mark_of(path: &str) -> Option<Mark> {
    let found = fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}

/// What was seen of the file.
#[derive(Debug)]
struct Changes {
    /// As it was when it was read.
    read: Option<Mark>,
    /// As it was a moment ago, if that was another state.
    seen: Option<Mark>,
}

impl Changes {
    /// Is it time to read it again? A file that is away comes back, or nothing is changed.
    fn look(&mut self, now: Option<Mark>) -> bool {
        if now.is_none() || now == self.read {
            self.seen = None;
            return false;
        }
        let settled = self.seen == now;
        self.seen = now;
        if settled {
            self.read = now;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_when_it_has_settled() {
        let mark = |number| Some((number, 0, 0, 0));
        let mut changes = Changes { read: mark(1), seen: None };
        let looks = [
            (mark(1), false),
            (mark(2), false),
            (mark(3), false),
            (mark(3), true),
            (mark(3), false),
            (None, false),
            (mark(4), false),
            (None, false),
            (mark(4), false),
            (mark(4), true),
            (mark(5), false),
            (mark(4), false),
            (mark(4), false),
        ];
        for (place, (now, expected)) in looks.into_iter().enumerate() {
            assert_eq!(changes.look(now), expected, "look {place}");
        }
    }
}
