//! What the clients of one key send and get, kept for an operator who has asked for it: never by
//! itself, never much, and never longer than was asked for.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;

use crate::policy::{KeyId, Keyring};

use super::access::AccessCell;

/// What an operator wants to see.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The name of the key whose clients are watched.
    pub key: String,
    /// So many exchanges more, of all shards.
    pub exchanges: Arc<AtomicU32>,
    /// At most so many bytes of a request's body, and of an answer.
    pub bytes_max: usize,
    /// Until then, in milliseconds since 1970.
    pub until_ms: u64,
    /// Who keeps them.
    pub to: Sender<Captured>,
}

/// The beginning of something, and how long it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// As much as was asked for.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub total: u64,
}

/// One exchange. It may hold secrets that clients have put into texts: `keys` knows them.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The request's id.
    pub id: String,
    /// When it was read, in milliseconds since 1970.
    pub at_ms: u64,
    /// The keys that were known then.
    pub keys: Arc<Keyring>,
    /// The request's body.
    pub request: Piece,
    /// The answer as it was written, head and all.
    pub answer: Piece,
}

/// A shard's side.
#[derive(Debug, Default)]
pub struct Captures(RefCell<Option<Watch>>);

/// An exchange that is kept. Whoever has kept it sees it when the last of its owners lets it go.
#[derive(Debug)]
pub struct Capture {
    kept: RefCell<Captured>,
    bytes_max: usize,
    to: Sender<Captured>,
}

impl Captures {
    /// Begins or ends to watch.
    pub fn set(&self, watch: Option<Watch>) {
        *self.0.borrow_mut() = watch;
    }

    /// Is anybody watched at all?
    pub fn is_on(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Keeps this exchange, if its key's are watched and there is room for one more.
    pub fn begin(
        &self,
        access: &AccessCell,
        key: KeyId,
        now_ms: u64,
        (id, body): (&str, &[u8]),
    ) -> Option<Rc<Capture>> {
        let watch = self.0.borrow().clone()?;
        if now_ms >= watch.until_ms {
            self.set(None);
            return None;
        }
        let keys = access.ring();
        if keys.name(key) != watch.key {
            return None;
        }
        let one_less = |left: u32| left.checked_sub(1);
        let (set, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        if watch.exchanges.fetch_update(set, seen, one_less).is_err() {
            self.set(None);
            return None;
        }
        let id = id.to_owned();
        let mut request = Piece::default();
        request.put(body, watch.bytes_max);
        let answer = Piece::default();
        let kept = RefCell::new(Captured { id, at_ms: now_ms, keys, request, answer });
        Some(Rc::new(Capture { kept, bytes_max: watch.bytes_max, to: watch.to }))
    }
}

impl Capture {
    /// The client gets this.
    pub fn put(&self, bytes: &[u8]) {
        self.kept.borrow_mut().answer.put(bytes, self.bytes_max);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Who asked may have stopped waiting.
        let _unheard = self.to.send(self.kept.borrow().clone());
    }
}

impl Piece {
    fn put(&mut self, bytes: &[u8], most: usize) {
        let room = most.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.total += u64::try_from(bytes.len()).unwrap_or(0);
    }
}
