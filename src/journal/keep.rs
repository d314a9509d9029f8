//! Where records are kept until somebody has read them: a shard's slots, and those that dead
//! processes have left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::rt::slab::{self, Dead, Reader, Shape, Writer};

use super::record::{ADMISSION_BYTES, Ending, RECORD_BYTES, Record};

pub use crate::rt::slab::Entry;

/// Files of slots are named so, with the process and the shard in between.
const PREFIX: &str = "journal-";
const SUFFIX: &str = ".slots";

/// A shard's side.
#[derive(Debug, Default)]
pub struct Journal {
    writer: Option<Writer>,
    notes: Arc<Notes>,
}

/// What the two sides tell each other; seldom written.
#[derive(Debug, Default)]
struct Notes {
    /// Nothing new is to be admitted.
    shut: AtomicBool,
    /// Records that found no room.
    lost: AtomicU64,
}

/// The other side, for one shard.
#[derive(Debug)]
pub struct Reading {
    /// Names the shard's records together with their serial numbers, in every process that there
    /// ever was.
    pub boot: u64,
    reader: Reader,
    notes: Arc<Notes>,
    path: Option<PathBuf>,
}

/// The folder where processes leave their records.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What a dead process has left.
#[derive(Debug)]
pub struct Left {
    dead: Dead,
    path: PathBuf,
}

/// A shard's journal and its reader, with room for so many exchanges that run or wait to be read;
/// in the memory of the process, or in a file of `folder`. `boot` is random, below 2⁶³.
///
/// # Errors
/// There is no room, or no file can be made.
pub fn pair(
    folder: Option<&Folder>,
    shard: usize,
    slots: u32,
    boot: u64,
) -> io::Result<(Journal, Reading)> {
    let room = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let shape = Shape { slots, first: room(ADMISSION_BYTES), second: room(RECORD_BYTES) };
    let process = std::process::id();
    let path = folder
        .map(|folder| folder.0.join(format!("{PREFIX}{process}-{shard}-{boot:016x}{SUFFIX}")));
    let (writer, reader) = slab::create(path.as_deref(), shape, boot)?;
    let notes = Arc::<Notes>::default();
    let journal = Journal { writer: Some(writer), notes: Arc::clone(&notes) };
    Ok((journal, Reading { boot, reader, notes, path }))
}

impl Journal {
    /// Writes that an exchange is admitted; none when there is no room for it at present.
    pub fn admit(&self, record: &Record<'_>) -> Option<Entry> {
        self.writer.as_ref()?.begin(|room| record.encode(room))
    }

    /// Writes that an exchange has ended. One that was not admitted has no entry. Of an entry's
    /// exchange only what the admission did not say is kept of the texts.
    pub fn settle(&self, entry: Option<Entry>, record: &Record<'_>) {
        let Some(writer) = &self.writer else { return };
        let entry = entry.or_else(|| self.admit(&Record { ending: Ending::Open, ..*record }));
        let Some(entry) = entry else {
            self.notes.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let rest = Record { id: "", key: "", route: "", ..*record };
        writer.end(entry, |room| rest.encode(room));
    }

    /// Behind a peak, gives the memory back that its records took.
    pub fn trim(&self) {
        self.writer.iter().for_each(Writer::trim);
    }

    /// How many records found no room so far.
    pub fn lost(&self) -> u64 {
        self.notes.lost.load(Ordering::Relaxed)
    }

    /// Is nothing new to be admitted, because it could not be written down?
    pub fn is_shut(&self) -> bool {
        self.notes.shut.load(Ordering::Relaxed)
    }

    /// Are records kept at all?
    pub const fn is_kept(&self) -> bool {
        self.writer.is_some()
    }
}

impl Reading {
    /// Takes at most `most` records of ended exchanges, and tells how many there were. They stay
    /// where they are until [`Reading::free`].
    pub fn take(&mut self, most: usize) -> usize {
        self.reader.take(most)
    }

    /// Those that were taken and are not free yet, each with its serial number, in the order of
    /// their ends.
    pub fn held(&self) -> impl Iterator<Item = (u64, Record<'_>)> {
        self.reader
            .held()
            .filter_map(|(serial, first, second)| Some((serial, whole(first, Some(second))?)))
    }

    /// What was taken is safe elsewhere.
    pub fn free(&mut self) {
        self.reader.give_back();
    }

    /// How many records found no room so far.
    pub fn lost(&self) -> u64 {
        self.notes.lost.load(Ordering::Relaxed)
    }

    /// Says whether new exchanges may be admitted.
    pub fn shut(&self, shut: bool) {
        self.notes.shut.store(shut, Ordering::Relaxed);
    }

    /// The exchanges that run now.
    pub fn running(&self, mut look: impl FnMut(u64, &Record<'_>)) {
        self.reader.begun(|serial, first| {
            if let Some(record) = whole(first, None) {
                look(serial, &record);
            }
        });
    }

    /// Everything was read, and nothing more will be written: the file goes.
    pub fn remove(self) {
        if let Some(path) = &self.path {
            // What stays is read by the next process, and nothing new is found in it.
            let _stays = std::fs::remove_file(path);
        }
    }
}

impl Folder {
    /// The journal's part of the state folder, which exists.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What dead processes have left, and nobody else is reading. Each file is read when it is its
    /// turn: there may be many, of a process that died again and again.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn left(&self) -> io::Result<impl Iterator<Item = Left> + use<>> {
        // One that cannot be opened has just been read and removed by somebody else.
        let read = |(path, _): (PathBuf, _)| Some(Left { dead: Dead::read(&path).ok()??, path });
        Ok(self.files()?.into_iter().filter_map(read))
    }

    /// What names the records of all files that are there, of living processes and dead ones.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn boots(&self) -> io::Result<Vec<u64>> {
        Ok(self.files()?.into_iter().filter_map(|(_, boot)| boot).collect())
    }

    /// All files of slots, and what their names say names their records.
    fn files(&self) -> io::Result<Vec<(PathBuf, Option<u64>)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours =
                name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            let boot = |name: &str| u64::from_str_radix(name.rsplit('-').next()?, 16).ok();
            files.extend(ours.map(|name| (entry.path(), boot(name))));
        }
        Ok(files)
    }
}

impl Left {
    /// Names its records together with their serial numbers.
    pub const fn boot(&self) -> u64 {
        self.dead.owner()
    }

    /// All records: those of ended exchanges, and the admissions of those that had not ended, whose
    /// cost is then what was reserved.
    pub fn each(&self, mut look: impl FnMut(u64, &Record<'_>)) {
        self.dead.each(|serial, first, second| {
            if let Some(mut record) = whole(first, second) {
                if record.ending == Ending::Open {
                    record.cost_nanos = record.reserved_nanos;
                    record.estimated = true;
                    record.priced = record.prices != 0;
                }
                look(serial, &record);
            }
        });
    }

    /// Everything in it is safe elsewhere.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// A record out of its two halves: the admission knows who asked for what, the end all the rest.
fn whole<'b>(first: &'b [u8], second: Option<&'b [u8]>) -> Option<Record<'b>> {
    let Some(second) = second else { return Record::decode(first) };
    let admission = Record::decode_texts(first)?;
    let end = Record::decode(second)?;
    let model = if end.model.is_empty() { admission.model } else { end.model };
    Some(Record { id: admission.id, key: admission.key, route: admission.route, model, ..end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(id: &str) -> Record<'_> {
        Record {
            id,
            key: "team-a",
            route: "fast",
            reserved_nanos: 70,
            prices: 1,
            ..Record::default()
        }
    }

    fn end(id: &str) -> Record<'_> {
        let ending = Ending::Answered;
        Record { ending, model: "m", cost_nanos: 50, priced: true, prices: 1, ..admission(id) }
    }

    #[test]
    fn an_exchange_is_read_whole_and_once() {
        let (journal, mut reading) = pair(None, 0, 2, 9).unwrap();
        let entry = journal.admit(&admission("a"));
        journal.settle(entry, &end("a"));
        journal.settle(None, &end("b"));
        journal.settle(None, &end("c"));
        assert_eq!(journal.lost(), 1, "there was room for two");
        assert_eq!(reading.take(9), 2);
        let seen: Vec<_> = reading.held().collect();
        assert_eq!(seen, [(1, end("a")), (2, end("b"))]);
        reading.free();
        let running = journal.admit(&admission("d"));
        let mut ids = Vec::new();
        reading.running(|_, record| ids.push(record.id.to_owned()));
        assert_eq!(ids, ["d"]);
        journal.settle(running, &end("d"));
        assert_eq!(reading.take(9), 1);
        assert_eq!(reading.lost(), 1);
        for shut in [true, false] {
            reading.shut(shut);
            assert_eq!(journal.is_shut(), shut);
        }
        assert!(!Journal::default().is_kept());
        Journal::default().settle(None, &end("e"));
    }

    #[test]
    fn what_a_dead_process_left_is_found_with_its_open_admissions() {
        let path = std::env::temp_dir().join(format!("vb-journal-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("vertex-bridge.db"), "not ours").unwrap();
        let folder = Folder::new(&path);
        let (journal, reading) = pair(Some(&folder), 3, 4, 77).unwrap();
        journal.settle(None, &end("a"));
        journal.admit(&admission("b"));
        assert!(folder.left().unwrap().next().is_none(), "we live");
        drop((journal, reading));
        let left = folder.left().unwrap().next().expect("one file");
        assert_eq!(left.boot(), 77);
        let mut seen = Vec::new();
        left.each(|_, record| {
            let Record { ending, cost_nanos, estimated, priced, .. } = *record;
            seen.push((record.id.to_owned(), ending, cost_nanos, estimated, priced));
        });
        let a = ("a".to_owned(), Ending::Answered, 50, false, true);
        assert_eq!(seen, [a, ("b".to_owned(), Ending::Open, 70, true, true)]);
        left.remove().unwrap();
        assert!(folder.left().unwrap().next().is_none());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
