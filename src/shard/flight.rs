//! One upstream's answer, given to all that ask the same while it comes.
//!
//! Whoever asks first leads: its exchange asks the upstream, and what comes is kept here. All of
//! them, the leader's own client too, read from here, on whichever shard they are. So it does not
//! matter whose client leaves: the upstream is let go when nobody is left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

/// How far the slowest reader of an answer may stay behind what has come. The upstream waits for
/// it then, as it would for a client of its own.
const LAG_BYTES_MAX: usize = 256 * 1024;

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The id of the request whose exchange asked.
    pub id: String,
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Field lines for the one whose exchange asked.
    pub own_fields: Vec<u8>,
    /// Those of them that are everybody's.
    pub fields: Vec<u8>,
    /// It comes in pieces.
    pub is_stream: bool,
    /// What may be told to a client when a stream is silent, without chunks around it.
    pub ping: &'static [u8],
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its head.
    pub head: Head,
    /// Its body, a stream's without chunks around it.
    pub body: Vec<u8>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// It is whole.
    Whole,
    /// It is an error, or a stream that broke off with one; this is its cause.
    Failed(&'static str),
    /// Whoever led has gone without an answer.
    Lost,
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The head of a stream; comes once, first.
    Head(Head),
    /// More bytes of it.
    More,
    /// The end of a stream; all bytes have come.
    End(Landing),
    /// An answer in one piece.
    All(Arc<Kept>, Landing),
}

#[derive(Debug, Default)]
struct Reader {
    /// How many bytes it has read.
    at: usize,
    has_head: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct State {
    /// An answer in one piece.
    all: Option<Arc<Kept>>,
    /// The head of a stream.
    head: Option<Head>,
    /// What came behind the first `gone` bytes of it.
    body: Vec<u8>,
    gone: usize,
    landing: Option<Landing>,
    /// Mostly the leader's own client is the only one.
    readers: SmallVec<[Option<Reader>; 1]>,
    count: usize,
    /// Nobody else may join: all have left, or the beginning is gone.
    closed: bool,
    /// Whoever leads, when it waits for readers to come along, or to leave.
    leader: Option<Waker>,
    /// It waits for them to come along.
    crowded: bool,
    /// Longer answers are not kept whole.
    bytes_max: usize,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Flight(Mutex<State>);

/// A place among those who read an answer; dropping it leaves.
#[derive(Debug)]
pub struct Seat {
    flight: Arc<Flight>,
    place: usize,
    /// The leader's own is polled by whoever polls the leader, and is not woken.
    own: bool,
}

impl Flight {
    /// An answer of which at most `bytes_max` bytes are kept, and the leader's own seat.
    pub(super) fn start(bytes_max: usize) -> (Arc<Self>, Seat) {
        let state = State { bytes_max, ..State::default() };
        let flight = Arc::new(Self(Mutex::new(state)));
        let place = flight.lock().sit();
        let seat = Seat { flight: Arc::clone(&flight), place, own: true };
        (flight, seat)
    }

    /// A seat, unless it is too late.
    pub(super) fn join(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.lock();
        if state.closed || state.landing.is_some() {
            return None;
        }
        let place = state.sit();
        drop(state);
        Some(Seat { flight: Arc::clone(self), place, own: false })
    }

    /// A panic while the lock was held cannot leave anything half done that a reader relies on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer in one piece.
    pub(super) fn put_all(&self, kept: Kept) {
        let mut state = self.lock();
        state.closed |= kept.body.len() > state.bytes_max;
        state.all = Some(Arc::new(kept));
    }

    /// The head of a stream.
    pub(super) fn put_head(&self, head: Head) {
        let mut state = self.lock();
        state.head = Some(head);
        wake(state);
    }

    /// More bytes of a stream.
    pub(super) fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.body.extend_from_slice(bytes);
        if state.body.len() > state.bytes_max {
            // Too long to be kept: what all have read goes.
            state.closed = true;
        }
        state.trim();
        wake(state);
    }

    /// Ready when more may come: nobody is far behind, or nobody is left.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.count == 0 || state.lag() <= LAG_BYTES_MAX {
            return Poll::Ready(());
        }
        state.leader = Some(context.waker().clone());
        state.crowded = true;
        Poll::Pending
    }

    /// Ready when nobody reads any more, and nobody will.
    pub(super) fn poll_deserted(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.count == 0 {
            return Poll::Ready(());
        }
        state.leader = Some(context.waker().clone());
        Poll::Pending
    }

    /// The answer without what is only for the one who asked, if it is whole.
    pub(super) fn whole(&self) -> Option<Arc<Kept>> {
        let state = self.lock();
        if state.closed || state.gone > 0 || state.landing.is_some() {
            return None;
        }
        let (head, body) = match (&state.all, &state.head) {
            (Some(all), _) if all.head.own_fields.is_empty() => return Some(Arc::clone(all)),
            (Some(all), _) => (&all.head, &all.body),
            (None, Some(head)) => (head, &state.body),
            (None, None) => return None,
        };
        let head = Head { own_fields: Vec::new(), ..head.clone() };
        Some(Arc::new(Kept { head, body: body.clone() }))
    }

    /// The end, unless it has ended.
    pub(super) fn land(&self, landing: Landing) {
        let mut state = self.lock();
        state.landing.get_or_insert(landing);
        state.closed = true;
        wake(state);
    }

    /// How much has come, how much of it the leader's own client has, and whether that was all:
    /// changes whenever one of both may go on because of the other.
    pub(super) fn mark(&self) -> (usize, usize, bool) {
        let state = self.lock();
        // The leader's seat was the first.
        let own = state.readers.first().and_then(Option::as_ref).map_or(0, |reader| reader.at);
        let has_head = usize::from(state.head.is_some() || state.all.is_some());
        (has_head + state.gone + state.body.len(), own, state.landing.is_some())
    }
}

/// Wakes all that read.
fn wake(mut state: MutexGuard<'_, State>) {
    let wakers: Vec<Waker> =
        state.readers.iter_mut().flatten().filter_map(|reader| reader.waker.take()).collect();
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

impl State {
    fn sit(&mut self) -> usize {
        self.count += 1;
        let free = self.readers.iter().position(Option::is_none);
        let place = free.unwrap_or(self.readers.len());
        match self.readers.get_mut(place) {
            Some(seat) => *seat = Some(Reader::default()),
            None => self.readers.push(Some(Reader::default())),
        }
        place
    }

    /// How far the slowest is behind.
    fn lag(&self) -> usize {
        let slowest = self.readers.iter().flatten().map(|reader| reader.at).min();
        slowest.map_or(0, |at| self.gone + self.body.len() - at)
    }

    /// Whoever leads, if what it waits for has come about. Its own seat is polled beside it.
    fn waiting(&mut self, own: bool) -> Option<Waker> {
        let room = self.crowded && self.lag() <= LAG_BYTES_MAX;
        if own || !room && self.count > 0 {
            return None;
        }
        self.crowded = false;
        self.leader.take()
    }

    /// Drops what all have read of an answer that is too long to be kept.
    fn trim(&mut self) {
        if !self.closed || self.landing.is_some() {
            return;
        }
        let read = self.body.len() - self.lag().min(self.body.len());
        // Moving the rest should not cost more than it saves.
        if read > self.body.len() / 2 {
            self.body.drain(..read);
            self.gone += read;
        }
    }
}

impl Seat {
    /// What there is to read; bytes are appended to `out`.
    pub fn poll(&mut self, context: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Step> {
        let mut state = self.flight.lock();
        let State { all, head, body, gone, landing, readers, .. } = &mut *state;
        let Some(reader) = readers.get_mut(self.place).and_then(Option::as_mut) else {
            return Poll::Ready(Step::End(Landing::Lost));
        };
        let step = match (all, head, *landing) {
            (Some(all), _, Some(landing)) => Some(Step::All(Arc::clone(all), landing)),
            (Some(_), _, None) => None,
            (None, Some(head), _) if !reader.has_head => {
                reader.has_head = true;
                Some(Step::Head(head.clone()))
            }
            (None, Some(_), landing) => {
                let unread = body.get(reader.at.saturating_sub(*gone)..).unwrap_or_default();
                out.extend_from_slice(unread);
                reader.at += unread.len();
                match (unread.is_empty(), landing) {
                    (false, _) => Some(Step::More),
                    (true, landing) => landing.map(Step::End),
                }
            }
            (None, None, landing) => landing.map(Step::End),
        };
        if let Some(step) = step {
            let waiting = state.waiting(self.own);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            return Poll::Ready(step);
        }
        if !self.own {
            reader.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        let seat = state.readers.get_mut(self.place).and_then(Option::take);
        state.count -= usize::from(seat.is_some());
        state.closed |= state.count == 0;
        let waiting = state.waiting(self.own);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_head() -> Head {
        Head { status: 200, is_stream: true, ping: b": \n\n", ..Head::default() }
    }

    /// What a seat has to say now, and the bytes.
    fn step(seat: &mut Seat) -> (Option<Step>, Vec<u8>) {
        let (mut out, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
        match seat.poll(&mut context, &mut out) {
            Poll::Ready(step) => (Some(step), out),
            Poll::Pending => (None, out),
        }
    }

    fn is_ready(polled: impl FnOnce(&mut Context<'_>) -> Poll<()>) -> bool {
        polled(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn all_who_read_a_stream_get_all_of_it_whenever_they_came() {
        let (flight, mut own) = Flight::start(1000);
        let mut early = flight.join().expect("a seat");
        assert_eq!(step(&mut own), (None, Vec::new()));
        flight.put_head(stream_head());
        flight.put(b"one ");
        assert_eq!(step(&mut early).0, Some(Step::Head(stream_head())));
        assert_eq!(step(&mut early), (Some(Step::More), b"one ".to_vec()));
        assert_eq!(step(&mut early), (None, Vec::new()));
        flight.put(b"two");
        let mut late = flight.join().expect("a seat");
        assert_eq!(step(&mut late).0, Some(Step::Head(stream_head())));
        assert_eq!(step(&mut late), (Some(Step::More), b"one two".to_vec()));
        assert_eq!(flight.whole().map(|kept| kept.body.clone()), Some(b"one two".to_vec()));
        flight.land(Landing::Whole);
        assert_eq!(step(&mut early), (Some(Step::More), b"two".to_vec()));
        for seat in [&mut early, &mut late] {
            assert_eq!(step(seat), (Some(Step::End(Landing::Whole)), Vec::new()));
        }
        assert!(flight.join().is_none() && flight.whole().is_none(), "it has landed");
    }

    #[test]
    fn an_answer_in_one_piece_is_told_when_its_exchange_has_ended() {
        let (flight, mut own) = Flight::start(1000);
        let head = Head { status: 200, own_fields: b"a: b\r\n".to_vec(), ..Head::default() };
        let kept = Kept { head, body: b"{}".to_vec() };
        flight.put_all(kept.clone());
        assert_eq!(step(&mut own), (None, Vec::new()));
        let whole = flight.whole().expect("it is whole");
        assert_eq!((&whole.body, whole.head.own_fields.len()), (&kept.body, 0));
        flight.land(Landing::Whole);
        let all = Step::All(Arc::new(kept), Landing::Whole);
        assert_eq!(step(&mut own), (Some(all), Vec::new()));
    }

    #[test]
    fn an_answer_that_nobody_gives_is_lost_to_all() {
        let (flight, mut own) = Flight::start(1000);
        flight.land(Landing::Lost);
        flight.land(Landing::Whole);
        assert_eq!(step(&mut own), (Some(Step::End(Landing::Lost)), Vec::new()));
    }

    #[test]
    fn the_upstream_is_let_go_when_nobody_is_left_and_not_before() {
        let (flight, own) = Flight::start(1000);
        let follower = flight.join().expect("a seat");
        drop(own);
        assert!(!is_ready(|context| flight.poll_deserted(context)), "one is left");
        let another = flight.join().expect("the answer still comes");
        drop(follower);
        drop(another);
        assert!(is_ready(|context| flight.poll_deserted(context)));
        assert!(flight.join().is_none(), "it is being let go");
    }

    #[test]
    fn a_slow_reader_holds_the_upstream_back_and_memory_is_bounded() {
        let (flight, mut own) = Flight::start(1000);
        let mut slow = flight.join().expect("a seat");
        flight.put_head(stream_head());
        let piece = [7; 10_000];
        let (mut put, mut read) = (0, 0);
        while is_ready(|context| flight.poll_room(context)) {
            flight.put(&piece);
            put += piece.len();
            while let (Some(_), bytes) = step(&mut own) {
                read += bytes.len();
            }
        }
        assert!(put == read && put <= LAG_BYTES_MAX + 2 * piece.len(), "{put}");
        assert!(flight.join().is_none(), "its beginning may be gone");
        assert_eq!(step(&mut slow).0, Some(Step::Head(stream_head())));
        for _ in 0..1000 {
            step(&mut slow);
            step(&mut own);
            assert!(is_ready(|context| flight.poll_room(context)));
            flight.put(&piece);
            assert!(flight.lock().body.len() <= 2 * LAG_BYTES_MAX + 2 * piece.len());
        }
        assert!(flight.whole().is_none());
        // One that leaves holds nobody back.
        drop(slow);
        assert!(is_ready(|context| flight.poll_room(context)));
    }

    #[test]
    fn readers_on_other_threads_miss_nothing() {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let read = |mut seat: Seat| {
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            let (mut out, mut context) = (Vec::new(), Context::from_waker(&waker));
            loop {
                match seat.poll(&mut context, &mut out) {
                    Poll::Ready(Step::End(landing)) => return (landing, out),
                    Poll::Ready(_) => {}
                    Poll::Pending => std::thread::park(),
                }
            }
        };
        let expected: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let (flight, _own) = Flight::start(1 << 20);
        std::thread::scope(|scope| {
            let seats = (0..3).filter_map(|_| flight.join());
            let readers: Vec<_> = seats.map(|seat| scope.spawn(move || read(seat))).collect();
            flight.put_head(stream_head());
            expected.chunks(40).for_each(|piece| flight.put(piece));
            flight.land(Landing::Whole);
            for reader in readers {
                assert_eq!(reader.join().unwrap(), (Landing::Whole, expected.clone()));
            }
        });
    }
}
