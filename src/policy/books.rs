//! What happens to requests while exchanges cannot be kept: on a full disk, or one that fails.
//!
//! ```text
//!            full, or failing for PATIENCE
//!   sound <-------------------------------> unsound: lost exchanges are counted, or
//!            a batch was stored                      requests are refused
//! ```

use std::fmt;
use std::time::Duration;

use crate::base::Tick;
use crate::config::WhenFull;

/// A failure that may pass by itself, such as another process that holds the store, is tried again
/// for so long before requests are refused.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often the log is told of trouble that goes on.
pub const REMINDER: Duration = Duration::from_secs(60);

/// What came of an attempt to store something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Well,
    /// There is no room on the disk.
    Full,
    /// It failed otherwise.
    Failed,
}

/// Whether the books can be kept.
#[derive(Clone, Copy, Debug)]
pub struct Books {
    when_full: WhenFull,
    trouble: Option<Trouble>,
    lost: u64,
}

/// Invariant: `said` is not before `since`.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Tick,
    said: Tick,
    full: bool,
    /// What had been lost before.
    lost_before: u64,
}

/// What the log is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub what: What,
    /// How long it has lasted.
    pub lasted: Duration,
    /// Exchanges that were lost meanwhile.
    pub lost: u64,
    /// Are requests refused?
    pub refusing: bool,
}

/// What has happened to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// There is no room on the disk.
    Full,
    /// They cannot be written otherwise.
    Failing,
    /// They are written again.
    Over,
}

impl Books {
    /// Nothing has gone wrong yet.
    pub const fn new(when_full: WhenFull) -> Self {
        Self { when_full, trouble: None, lost: 0 }
    }

    /// An attempt has come to an end. What is given back is for the log, at most once a
    /// [`REMINDER`] but for beginning and end.
    pub fn on_stored(&mut self, now: Tick, stored: Stored) -> Option<News> {
        if stored == Stored::Well {
            let over =
                self.news(now).map(|news| News { what: What::Over, refusing: false, ..news });
            self.trouble = None;
            return over;
        }
        let full = stored == Stored::Full;
        let begins = self.trouble.is_none();
        let first = Trouble { since: now, said: now, full, lost_before: self.lost };
        let trouble = self.trouble.get_or_insert(first);
        let changed = trouble.full != full;
        trouble.full = full;
        if !begins && !changed && now.since(trouble.said) < REMINDER {
            return None;
        }
        trouble.said = now;
        self.news(now)
    }

    /// So many exchanges could not wait any longer.
    pub const fn on_lost(&mut self, exchanges: u64) {
        self.lost = self.lost.saturating_add(exchanges);
    }

    /// Are requests to be refused now?
    pub fn refuses(&self, now: Tick) -> bool {
        let lasts = |trouble: &Trouble| trouble.full || now.since(trouble.since) >= PATIENCE;
        self.when_full == WhenFull::Refuse && self.trouble.as_ref().is_some_and(lasts)
    }

    /// Exchanges that were lost since the start.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    fn news(&self, now: Tick) -> Option<News> {
        let trouble = self.trouble?;
        Some(News {
            what: if trouble.full { What::Full } else { What::Failing },
            lasted: now.since(trouble.since),
            lost: self.lost.saturating_sub(trouble.lost_before),
            refusing: self.refuses(now),
        })
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasted.as_secs();
        match self.what {
            What::Over => write!(f, "the ledger is written again after {seconds} s"),
            What::Full => {
                write!(f, "the ledger cannot be written for {seconds} s: the disk is full")
            }
            What::Failing => {
                write!(f, "the ledger cannot be written for {seconds} s: the store fails")
            }
        }?;
        write!(f, "; exchanges lost meanwhile: {}", self.lost)?;
        if self.refusing { f.write_str("; requests are refused") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(7).after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_full_disk_refuses_at_once_where_that_is_asked_for() {
        for (when_full, refuses) in [(WhenFull::Refuse, true), (WhenFull::Serve, false)] {
            let mut books = Books::new(when_full);
            assert!(!books.refuses(at(0)));
            let news = books.on_stored(at(1), Stored::Full).expect("it is said");
            assert_eq!((news.refusing, books.refuses(at(1))), (refuses, refuses));
            assert!(books.on_stored(at(2), Stored::Well).expect("it is said").what == What::Over);
            assert!(!books.refuses(at(2)));
            assert_eq!(books.on_stored(at(3), Stored::Well), None);
        }
    }

    #[test]
    fn another_failure_is_given_time_to_pass() {
        let mut books = Books::new(WhenFull::Refuse);
        assert!(!books.on_stored(at(1), Stored::Failed).expect("it is said").refusing);
        assert!(!books.refuses(at(5)) && books.refuses(at(6)));
        assert_eq!(books.on_stored(at(6), Stored::Failed), None, "it was said a moment ago");
        let full = books.on_stored(at(7), Stored::Full).expect("it is another one");
        assert_eq!(full.what, What::Full);
        let _over = books.on_stored(at(8), Stored::Well);
        assert!(books.on_stored(at(9), Stored::Failed).is_some() && !books.refuses(at(13)));
    }

    #[test]
    fn trouble_is_said_once_a_minute_and_losses_are_counted() {
        let mut books = Books::new(WhenFull::Serve);
        let mut said = Vec::new();
        for second in 0..200 {
            books.on_lost(2);
            said.extend(books.on_stored(at(second), Stored::Full).map(|news| news.lasted));
        }
        assert_eq!(said, [0, 60, 120, 180].map(Duration::from_secs));
        let over = books.on_stored(at(200), Stored::Well).expect("it is said");
        let want = "the ledger is written again after 200 s; exchanges lost meanwhile: 398";
        assert_eq!((over.to_string().as_str(), books.lost()), (want, 400));
        books.on_lost(1);
        let again = books.on_stored(at(300), Stored::Failed).expect("it is said").to_string();
        let want = "the ledger cannot be written for 0 s: the store fails; exchanges lost \
                    meanwhile: 0";
        assert_eq!(again, want);
    }
}
