//! Slots in memory that may outlive the process: one thread writes them, another takes what is
//! done, and nobody waits.
//!
//! A slot has two halves. The writer fills the first when something begins and the second when it
//! has ended; the reader takes ended slots and gives them back. Whatever moment a process dies in
//! (`kill -9` included, since the pages are the file's), a slot is free, begun with a whole first
//! half, or ended with both: [`State`] is stored behind the bytes that it speaks of.
//!
//! Who may touch a slot follows from its state and from the queue that its number is in:
//! free and known to the writer alone: the writer; begun: the first half is only read, the second
//! is the writer's; ended and in the queue: the reader.
#![expect(unsafe_code, reason = "memory that two threads and a file share")]

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many slots keep their pages, used or not.
const KEPT: u32 = 256;

/// The first bytes of a file of slots; the number is the layout's.
const MAGIC: &[u8; 8] = b"vbslab01";

/// Bytes in front of the slots: the magic, the shape and the owner's number.
const HEADER_BYTES: usize = 4096;

/// Bytes that describe one slot: state, lengths of the halves, serial number.
const NOTE_BYTES: usize = 32;

/// Where the lengths of the halves and the serial number stand in a note; the state is first.
const FIRST_AT: usize = 4;
const SECOND_AT: usize = 8;
const SERIAL_AT: usize = 16;

/// How many slots there are, and the room of their halves in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// From 1.
    pub slots: u32,
    /// Of the half that is written first.
    pub first: u32,
    /// Of the half that is written last.
    pub second: u32,
}

/// How far a slot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Nothing is in it.
    Free,
    /// Its first half is written.
    Begun,
    /// Both halves are written.
    Ended,
}

/// A slot that has begun. Copies name the same slot; the first to end it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    slot: u32,
    serial: u64,
}

/// The side that fills slots; it belongs to one thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    own: RefCell<Own>,
}

/// The side that takes ended slots; it belongs to one thread.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    /// Taken and not given back yet.
    held: Vec<u32>,
}

/// What a process that died has left in a file.
#[derive(Debug)]
pub struct Dead {
    /// Serial number and halves of those that were in use.
    slots: Vec<(u64, Vec<u8>, Option<Vec<u8>>)>,
    owner: u64,
    /// Locked to the end: nobody else takes what is in it.
    file: File,
}

#[derive(Debug)]
struct Own {
    /// Numbers that have come back from the reader.
    free: Vec<u32>,
    /// From this one on no slot was ever used, or its memory was given back. They are the last
    /// choice, since their pages cost memory from the first touch on.
    fresh: u32,
    serial: u64,
    /// Which entry is in a slot that has begun.
    begun: Vec<u64>,
}

#[derive(Debug)]
struct Shared {
    region: Region,
    shape: Shape,
    done: Queue,
    freed: Queue,
    /// The writer's `fresh`.
    used: AtomicU32,
    /// Locked as long as we live.
    _file: Option<File>,
}

/// Makes slots in a new file at `path`, whose room on the disk is taken at once, so that no later
/// write can fail; or in memory. `owner` is kept in the file.
///
/// # Errors
/// There is no room, or the file cannot be made.
pub fn create(path: Option<&Path>, shape: Shape, owner: u64) -> io::Result<(Writer, Reader)> {
    let file = path.map(|path| new_file(path, length(shape))).transpose()?;
    let region = Region::map(file.as_ref(), length(shape))?;
    let header = [shape.slots, shape.first, shape.second, 0].map(u32::to_le_bytes);
    region.write(8, header.as_flattened());
    region.write(24, &owner.to_le_bytes());
    // Last: a file without it is nobody's.
    region.write(0, MAGIC);
    let shared = Arc::new(Shared {
        region,
        shape,
        done: Queue::new(shape.slots),
        freed: Queue::new(shape.slots),
        used: AtomicU32::new(0),
        _file: file,
    });
    let slots = usize::try_from(shape.slots).unwrap_or(0);
    let own = Own { free: Vec::with_capacity(slots), fresh: 0, serial: 0, begun: vec![0; slots] };
    let writer = Writer { shared: Arc::clone(&shared), own: RefCell::new(own) };
    Ok((writer, Reader { shared, held: Vec::new() }))
}

fn new_file(path: &Path, length: usize) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.try_lock().map_err(io::Error::other)?;
    let length = libc::off_t::try_from(length).map_err(io::Error::other)?;
    // SAFETY: the call takes a descriptor, which is open, and numbers.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
        0 => Ok(file),
        code => {
            let _kept = std::fs::remove_file(path);
            Err(io::Error::from_raw_os_error(code))
        }
    }
}

/// Bytes of header and slots.
fn length(shape: Shape) -> usize {
    place(shape, 2, shape.slots)
}

/// Where a slot's note (0), first half (1) or second half begins.
fn place(shape: Shape, part: usize, slot: u32) -> usize {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let (slots, slot) = (number(shape.slots), number(slot));
    let (first, second) = (number(shape.first), number(shape.second));
    match part {
        0 => HEADER_BYTES + slot * NOTE_BYTES,
        1 => HEADER_BYTES + slots * NOTE_BYTES + slot * first,
        _ => HEADER_BYTES + slots * (NOTE_BYTES + first) + slot * second,
    }
}

impl Writer {
    /// Begins a slot: `fill` writes the first half and tells its length. None when every slot is
    /// in use.
    pub fn begin(&self, fill: impl FnOnce(&mut [u8]) -> usize) -> Option<Entry> {
        let mut own = self.own.borrow_mut();
        let slot = match own.free.pop() {
            Some(slot) => slot,
            None => self.refill(&mut own)?,
        };
        own.serial += 1;
        let entry = Entry { slot, serial: own.serial };
        if let Some(begun) = usize::try_from(slot).ok().and_then(|at| own.begun.get_mut(at)) {
            *begun = entry.serial;
        }
        drop(own);
        let shared = &*self.shared;
        // SAFETY: the slot is free and was ours alone to take, so nobody else looks at this half.
        let half = unsafe { shared.half(slot, 1) };
        let length = fill(half).min(half.len());
        shared.note(slot, length, entry.serial);
        shared.state(slot).store(State::Begun as u32, Ordering::Release);
        Some(entry)
    }

    /// Ends a slot: `fill` writes the second half and tells its length. False when it has ended
    /// before.
    pub fn end(&self, entry: Entry, fill: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let Ok(at) = usize::try_from(entry.slot) else { return false };
        match self.own.borrow_mut().begun.get_mut(at) {
            Some(begun) if *begun == entry.serial => *begun = 0,
            _ => return false,
        }
        let shared = &*self.shared;
        // SAFETY: the slot has begun, and its second half is the writer's until it has ended.
        let half = unsafe { shared.half(entry.slot, 2) };
        let length = fill(half).min(half.len());
        shared.note_second(entry.slot, length);
        shared.state(entry.slot).store(State::Ended as u32, Ordering::Release);
        shared.done.push(entry.slot);
        true
    }

    /// Behind a peak, gives the memory of slots back that stand behind all that are in use. From
    /// then on the first ones are used first, so that a later call finds more of them.
    pub fn trim(&self) {
        let own = &mut *self.own.borrow_mut();
        let before = own.fresh;
        if before <= KEPT {
            return;
        }
        self.take_back(own);
        let free = u32::try_from(own.free.len()).unwrap_or(u32::MAX);
        if free < before / 4 * 3 {
            return;
        }
        own.free.sort_unstable_by_key(|slot| std::cmp::Reverse(*slot));
        let behind = own.free.iter().zip((KEPT..before).rev());
        let count = behind.take_while(|(slot, last)| **slot == *last).count();
        own.free.drain(..count);
        own.fresh -= u32::try_from(count).unwrap_or(0);
        self.shared.used.store(own.fresh, Ordering::Relaxed);
        for part in [1, 2] {
            let [from, to] = [own.fresh, before].map(|slot| place(self.shared.shape, part, slot));
            // SAFETY: the slots from `fresh` on are free and known to the writer alone, so nobody
            // reads or writes these halves, and what is in them is of no use any more.
            unsafe { self.shared.region.forget(from, to) };
        }
    }

    /// Takes over what the reader has given back.
    fn take_back(&self, own: &mut Own) {
        while let Some(slot) = self.shared.freed.pop() {
            own.free.push(slot);
        }
    }

    /// A slot that has come back, or else the first fresh one.
    fn refill(&self, own: &mut Own) -> Option<u32> {
        self.take_back(own);
        own.free.pop().or_else(|| {
            let slot = own.fresh;
            (slot < self.shared.shape.slots).then(|| {
                own.fresh += 1;
                self.shared.used.store(own.fresh, Ordering::Relaxed);
                slot
            })
        })
    }
}

impl Reader {
    /// Takes at most `most` ended slots, and tells how many there were. They stay as they are
    /// until [`Reader::give_back`].
    pub fn take(&mut self, most: usize) -> usize {
        let before = self.held.len();
        self.held.extend(std::iter::from_fn(|| self.shared.done.pop()).take(most));
        self.held.len() - before
    }

    /// What was taken and not given back: serial numbers and halves, in the order of taking.
    pub fn held(&self) -> impl ExactSizeIterator<Item = (u64, &[u8], &[u8])> {
        self.held.iter().map(|slot| self.shared.ended(*slot))
    }

    /// Frees what was taken.
    pub fn give_back(&mut self) {
        for slot in self.held.drain(..) {
            self.shared.state(slot).store(State::Free as u32, Ordering::Release);
            self.shared.freed.push(slot);
        }
    }

    /// Looks at every slot that has begun and not ended: serial number and first half.
    pub fn begun(&self, mut look: impl FnMut(u64, &[u8])) {
        for slot in 0..self.shared.used.load(Ordering::Relaxed) {
            // Only this side frees slots: one that is seen to have begun keeps its first half.
            if self.shared.state(slot).load(Ordering::Acquire) == State::Begun as u32 {
                let (serial, first, _) = self.shared.noted(slot);
                look(serial, self.shared.read(place(self.shared.shape, 1, slot), first));
            }
        }
    }
}

impl Shared {
    fn state(&self, slot: u32) -> &AtomicU32 {
        self.region.atomic(place(self.shape, 0, slot))
    }

    /// One half of a slot.
    ///
    /// # Safety
    /// Nobody else may read or write that half while the slice lives.
    #[expect(clippy::mut_from_ref, reason = "the protocol of states says whose it is")]
    unsafe fn half(&self, slot: u32, part: usize) -> &mut [u8] {
        let room = if part == 1 { self.shape.first } else { self.shape.second };
        let at = place(self.shape, part, slot);
        let room = usize::try_from(room).unwrap_or(0);
        let start = self.region.at(at, room);
        // SAFETY: `at` has checked that the bytes are inside the region, which lives as long as
        // `self`; that nobody else uses them is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), room) }
    }

    fn note(&self, slot: u32, length: usize, serial: u64) {
        let at = place(self.shape, 0, slot);
        let length = u32::try_from(length).unwrap_or(0);
        self.region.write(at + FIRST_AT, &length.to_le_bytes());
        self.region.write(at + SERIAL_AT, &serial.to_le_bytes());
    }

    fn note_second(&self, slot: u32, length: usize) {
        let length = u32::try_from(length).unwrap_or(0);
        self.region.write(place(self.shape, 0, slot) + SECOND_AT, &length.to_le_bytes());
    }

    /// Serial number and lengths of a slot that has begun; the last is only sure once it has ended.
    fn noted(&self, slot: u32) -> (u64, usize, usize) {
        let at = place(self.shape, 0, slot);
        let note = |from: usize, bytes: usize| {
            let mut number = [0; 8];
            number[..bytes].copy_from_slice(self.read(at + from, bytes));
            u64::from_le_bytes(number)
        };
        let length = |number: u64| usize::try_from(number).unwrap_or(0);
        (note(SERIAL_AT, 8), length(note(FIRST_AT, 4)), length(note(SECOND_AT, 4)))
    }

    /// Bytes that nobody writes at present.
    fn read(&self, at: usize, length: usize) -> &[u8] {
        let start = self.region.at(at, length);
        // SAFETY: `at` has checked the place. The callers only ask for bytes that the state of
        // their slot forbids the writer to touch.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), length) }
    }

    /// An ended slot, which is the reader's.
    fn ended(&self, slot: u32) -> (u64, &[u8], &[u8]) {
        let (serial, first, second) = self.noted(slot);
        let first = self.read(place(self.shape, 1, slot), first);
        (serial, first, self.read(place(self.shape, 2, slot), second))
    }
}

impl Dead {
    /// Reads what a process has left at `path`; none when that process lives, or has not come to
    /// write anything.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut dead = Self { slots: Vec::new(), owner: 0, file };
        let size = usize::try_from(dead.file.metadata()?.len()).unwrap_or(usize::MAX);
        // A file without its header is of a process that has never come to write.
        if size < HEADER_BYTES {
            return Ok(Some(dead));
        }
        let header = dead.bytes(0, 32)?;
        let room = |at| u32::try_from(number(&header, at, 4)).unwrap_or(u32::MAX);
        let shape = Shape { slots: room(8), first: room(12), second: room(16) };
        dead.owner = number(&header, 24, 8);
        let likely = shape.slots < 1 << 24 && shape.first.max(shape.second) < 1 << 16;
        if header.starts_with(MAGIC) && likely && size >= length(shape) {
            dead.read_slots(shape)?;
        }
        Ok(Some(dead))
    }

    /// Only what was in use is read: most slots of most files never were.
    fn read_slots(&mut self, shape: Shape) -> io::Result<()> {
        let notes = self.bytes(HEADER_BYTES, place(shape, 0, shape.slots) - HEADER_BYTES)?;
        for (slot, note) in (0..shape.slots).zip(notes.chunks_exact(NOTE_BYTES)) {
            let state = number(note, 0, 4);
            if state == State::Free as u64 {
                continue;
            }
            let half = |part: usize, at: usize, room: u32| {
                let length = number(note, at, 4).min(u64::from(room));
                self.bytes(place(shape, part, slot), usize::try_from(length).unwrap_or(0))
            };
            let first = half(1, FIRST_AT, shape.first)?;
            let ended = state == State::Ended as u64;
            let second = ended.then(|| half(2, SECOND_AT, shape.second)).transpose()?;
            self.slots.push((number(note, SERIAL_AT, 8), first, second));
        }
        Ok(())
    }

    fn bytes(&self, at: usize, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, u64::try_from(at).unwrap_or(u64::MAX))?;
        Ok(bytes)
    }

    /// The number that its process gave.
    pub const fn owner(&self) -> u64 {
        self.owner
    }

    /// Looks at every slot that was in use: serial number, first half, and the second if it has
    /// ended.
    pub fn each(&self, mut look: impl FnMut(u64, &[u8], Option<&[u8]>)) {
        for (serial, first, second) in &self.slots {
            look(*serial, first, second.as_deref());
        }
    }
}

/// A number of so many bytes, at most eight.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mut number = [0; 8];
    let found = bytes.get(at..at + length).unwrap_or_default();
    number.iter_mut().zip(found).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(number)
}

/// Numbers on their way from one thread to another. As large as there are slots, so it is never
/// full.
#[derive(Debug)]
struct Queue {
    numbers: Box<[AtomicU32]>,
    head: Position,
    tail: Position,
}

/// A place in a queue, alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Position(AtomicU32);

impl Queue {
    fn new(slots: u32) -> Self {
        let numbers = (0..slots.next_power_of_two()).map(|_| AtomicU32::new(0)).collect();
        Self { numbers, head: Position::default(), tail: Position::default() }
    }

    fn number(&self, position: u32) -> Option<&AtomicU32> {
        let mask = self.numbers.len() - 1;
        self.numbers.get(usize::try_from(position).unwrap_or(0) & mask)
    }

    fn push(&self, number: u32) {
        let tail = self.tail.0.load(Ordering::Relaxed);
        if let Some(place) = self.number(tail) {
            place.store(number, Ordering::Relaxed);
        }
        self.tail.0.store(tail.wrapping_add(1), Ordering::Release);
    }

    fn pop(&self) -> Option<u32> {
        let head = self.head.0.load(Ordering::Relaxed);
        if head == self.tail.0.load(Ordering::Acquire) {
            return None;
        }
        let number = self.number(head)?.load(Ordering::Relaxed);
        self.head.0.store(head.wrapping_add(1), Ordering::Release);
        Some(number)
    }
}

/// Mapped memory.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the region is plain memory that belongs to no thread; who may touch which bytes of it is
// decided by the states of the slots.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn map(file: Option<&File>, length: usize) -> io::Result<Self> {
        let (flags, descriptor) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses touches no memory of ours.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, descriptor, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { start, length })
    }

    /// Gives whole pages between two places back: those of a file stay in its cache as long as the
    /// system wants, others are zero from now on.
    ///
    /// # Safety
    /// Nobody uses the bytes meanwhile, or needs what they were.
    unsafe fn forget(&self, from: usize, to: usize) {
        // A page may be larger, but then the mapping begins at a multiple of that, and the call
        // refuses a place in between.
        const PAGE: usize = 4096;
        let (from, to) = (from.next_multiple_of(PAGE), to / PAGE * PAGE);
        if from < to {
            let start = self.at(from, to - from);
            // SAFETY: the pages are the mapping's; the caller promises the rest. A refusal leaves
            // everything as it was.
            let _refused =
                unsafe { libc::madvise(start.as_ptr().cast(), to - from, libc::MADV_DONTNEED) };
        }
    }

    /// The address of `length` bytes from `at` on.
    fn at(&self, at: usize, length: usize) -> NonNull<u8> {
        let inside = at.checked_add(length).is_some_and(|end| end <= self.length);
        assert!(inside, "a slot lies inside its region");
        // SAFETY: just checked; the mapping is one allocated object of that length.
        unsafe { self.start.add(at) }
    }

    /// Writes bytes that nobody else touches at present: header and notes belong to the writer as
    /// long as their slot is free or begun, and each note is behind its own state.
    fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.at(at, bytes.len());
        // SAFETY: `at` has checked the place, and `bytes` cannot overlap memory that only this
        // region hands out; that nobody else touches the bytes is said above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
    }

    fn atomic(&self, at: usize) -> &AtomicU32 {
        let place = self.at(at, 4);
        // SAFETY: `at` has checked the place; notes begin at multiples of 32 behind a page, so it
        // is aligned; it is only ever accessed as an atomic.
        unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every reference into it borrows from this value.
        let _unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { slots: 4, first: 16, second: 24 };

    fn put(text: &[u8]) -> impl FnOnce(&mut [u8]) -> usize {
        move |room| {
            room[..text.len()].copy_from_slice(text);
            text.len()
        }
    }

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("vb-slab-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_was_written_is_taken_once_and_slots_come_back() {
        let (writer, mut reader) = create(None, SHAPE, 7).unwrap();
        for round in 0..10_u64 {
            let entries: Vec<Entry> =
                (0..4).map(|_| writer.begin(put(b"begin")).unwrap()).collect();
            assert!(writer.begin(put(b"no room")).is_none());
            let mut begun = 0;
            reader.begun(|_, first| begun += u32::from(first == b"begin"));
            assert_eq!(begun, 4);
            for entry in &entries {
                assert!(writer.end(*entry, put(b"end")));
                assert!(!writer.end(*entry, put(b"twice")), "an entry ends once");
            }
            assert_eq!((reader.take(3), reader.take(3)), (3, 1));
            let held: Vec<_> = reader.held().collect();
            let serials: Vec<u64> = held.iter().map(|(serial, _, _)| *serial).collect();
            assert_eq!(serials, [1, 2, 3, 4].map(|place| round * 4 + place));
            assert!(held.iter().all(|halves| (halves.1, halves.2) == (b"begin", b"end")));
            reader.give_back();
        }
    }

    /// Begins and ends a slot, as soon as there is one.
    fn pass(writer: &Writer, text: &[u8]) {
        let entry = std::iter::repeat_with(|| writer.begin(put(text))).flatten().next();
        assert!(entry.is_some_and(|entry| writer.end(entry, put(text))));
    }

    #[test]
    fn slots_that_came_back_are_used_before_new_ones() {
        let shape = Shape { slots: 64, ..SHAPE };
        let (writer, mut reader) = create(None, shape, 7).unwrap();
        for _ in 0..40 {
            pass(&writer, b"a");
            pass(&writer, b"b");
            assert_eq!(reader.take(64), 2);
            reader.give_back();
        }
        assert_eq!(writer.shared.used.load(Ordering::Relaxed), 2, "pages cost memory");
    }

    #[test]
    fn memory_of_a_peak_is_given_back_and_what_runs_stays() {
        let folder = folder("trim");
        let shape = Shape { slots: 4000, first: 576, second: 672 };
        for path in [None, Some(folder.join("slots"))] {
            let (writer, mut reader) = create(path.as_deref(), shape, 7).unwrap();
            let rounds: [(u32, u32); 3] = [(0, KEPT), (1000, 1001), (3999, 4000)];
            for (stays, used) in rounds {
                let entries: Vec<Entry> =
                    (0..4000).map(|_| writer.begin(put(b"begin")).unwrap()).collect();
                writer.trim();
                assert_eq!(writer.own.borrow().fresh, 4000, "all are in use");
                for entry in entries.iter().filter(|entry| entry.slot != stays) {
                    assert!(writer.end(*entry, put(b"end")));
                }
                writer.trim();
                assert_eq!(writer.own.borrow().fresh, 4000, "the reader has them");
                assert_eq!(reader.take(4000), 3999);
                reader.give_back();
                writer.trim();
                writer.trim();
                assert_eq!(writer.own.borrow().fresh, used);
                let mut begun = Vec::new();
                reader.begun(|_, first| begun.push(first.to_vec()));
                assert_eq!(begun, [b"begin"], "of {path:?}");
                let entry = entries.iter().find(|entry| entry.slot == stays).unwrap();
                assert!(writer.end(*entry, put(b"late")));
                assert_eq!(reader.take(1), 1);
                assert!(reader.held().all(|held| (held.1, held.2) == (b"begin", b"late")));
                reader.give_back();
            }
            pass(&writer, b"a");
            assert_eq!(reader.take(1), 1);
            assert!(reader.held().all(|held| (held.1, held.2) == (b"a", b"a")));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn two_threads_lose_nothing() {
        let shape = Shape { slots: 64, ..SHAPE };
        let (writer, mut reader) = create(None, shape, 7).unwrap();
        let total = 200_000_u64;
        std::thread::scope(|scope| {
            scope.spawn(move || (0..total).for_each(|number| pass(&writer, &number.to_le_bytes())));
            let mut next = 0_u64;
            while next < total {
                reader.take(16);
                for (_, first, second) in reader.held() {
                    assert_eq!((first, second), (&next.to_le_bytes()[..], &next.to_le_bytes()[..]));
                    next += 1;
                }
                reader.give_back();
            }
        });
    }

    #[test]
    fn a_file_is_read_when_its_process_has_gone_and_not_before() {
        let folder = folder("dead");
        let path = folder.join("slots");
        let (writer, reader) = create(Some(&path), SHAPE, 42).unwrap();
        let entry = writer.begin(put(b"a")).unwrap();
        writer.begin(put(b"b")).unwrap();
        writer.end(entry, put(b"A"));
        assert!(Dead::read(&path).unwrap().is_none(), "we live");
        assert!(create(Some(&path), SHAPE, 1).is_err(), "nobody takes a name that is in use");
        drop((writer, reader));
        let dead = Dead::read(&path).unwrap().expect("nobody holds it");
        assert!(Dead::read(&path).unwrap().is_none(), "one takes it at a time");
        assert_eq!(dead.owner(), 42);
        let mut found = Vec::new();
        dead.each(|serial, first, second| {
            found.push((serial, first.to_vec(), second.map(<[u8]>::to_vec)));
        });
        found.sort();
        assert_eq!(found, [(1, b"a".to_vec(), Some(b"A".to_vec())), (2, b"b".to_vec(), None)]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_that_are_not_ours_or_not_whole_hold_nothing() {
        let folder = folder("odd");
        let path = folder.join("slots");
        drop(create(Some(&path), SHAPE, 42).unwrap());
        let whole = std::fs::read(&path).unwrap();
        let absurd = [MAGIC, &[0xff; 9000][..]].concat();
        for bytes in [&b""[..], b"vbslab01", &whole[..whole.len() - 1], &absurd] {
            std::fs::write(&path, bytes).unwrap();
            let dead = Dead::read(&path).unwrap().expect("nobody holds it");
            dead.each(|_, _, _| panic!("there is nothing"));
        }
        let mut wild = whole;
        wild[HEADER_BYTES..HEADER_BYTES + 12].fill(0xff);
        std::fs::write(&path, &wild).unwrap();
        let mut seen = 0;
        Dead::read(&path).unwrap().unwrap().each(|_, first, _| {
            assert!(first.len() <= 16);
            seen += 1;
        });
        assert_eq!(seen, 1, "lengths are kept within their room");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
