//! Bodies, by length, chunked, or until the connection closes (RFC 9112 sections 6 and 7).
//!
//! The reader hands out slices of its input. Trailers are checked and thrown away. Line ends are
//! CR LF and nothing else: programs that take a bare LF disagree about where a request ends.

use super::error::WireError;
use super::head::Framing;

/// A chunk-size line may carry extensions; nobody uses long ones.
const CHUNK_LINE_MAX: usize = 256;

/// All trailers together.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// What one feed gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'b> {
    /// Body bytes; may be empty although the body goes on.
    pub data: &'b [u8],
    /// How much of the input was used. Feed the rest again unless `done`.
    pub consumed: usize,
    /// The body has ended; what follows belongs to the next message.
    pub done: bool,
}

/// Where a chunked body is.
///
/// ```text
///   Size -> SizeEnd -> Data -> DataCr -> DataLf -> Size ... size 0 -> LineStart
///   LineStart -> CR -> LastLf -> Done,   LineStart -> other -> Line -> LineEnd -> LineStart
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of data are left.
    Length(u64),
    /// Data until the connection closes.
    UntilClose,
    /// In the digits of a chunk size.
    Size { value: u64, digits: u8 },
    /// Behind the digits: extensions up to CR.
    Extension { value: u64, seen: usize },
    /// After the CR of a size line.
    SizeLf(u64),
    /// So many bytes of the chunk are left.
    Data(u64),
    /// The CR behind the chunk's data.
    DataCr,
    /// The LF behind the chunk's data.
    DataLf,
    /// At the start of a trailer line, or of the blank line that ends all.
    TrailerStart(usize),
    /// In a trailer line, which must have a colon.
    Trailer { seen: usize, colon: bool },
    /// After the CR of a trailer line.
    TrailerLf(usize),
    /// After the CR of the blank line.
    LastLf,
    /// The body has ended.
    Done,
}

/// Reads one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyReader {
    state: State,
    /// How many more bytes the limit allows.
    allowed: u64,
}

impl BodyReader {
    /// A reader for a body of at most `bytes_max`.
    ///
    /// # Errors
    /// [`WireError::BodyTooLarge`] when the announced length alone is too long.
    pub fn new(framing: Framing, bytes_max: u64) -> Result<Self, WireError> {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) if length > bytes_max => return Err(WireError::BodyTooLarge),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Ok(Self { state, allowed: bytes_max })
    }

    /// Takes what it can from `input`: at most one slice of data per call.
    ///
    /// # Errors
    /// A broken chunk or trailer, or a body over the limit.
    pub fn feed<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, WireError> {
        let mut consumed = 0;
        while let Some(rest) = input.get(consumed..).filter(|rest| !rest.is_empty()) {
            let left = match self.state {
                State::Done => break,
                State::Length(left) | State::Data(left) => left,
                State::UntilClose => u64::MAX,
                State::Extension { .. } | State::Trailer { .. } => {
                    consumed += self.skip_line(rest)?;
                    continue;
                }
                _ => {
                    if let Some(size_line) = self.size_line(rest) {
                        consumed += size_line;
                        continue;
                    }
                    self.framing_byte(rest.first().copied().unwrap_or(0))?;
                    consumed += 1;
                    continue;
                }
            };
            let data = take(rest, left);
            self.count(data.len(), left)?;
            return Ok(Step { data, consumed: consumed + data.len(), done: self.is_done() });
        }
        Ok(Step { data: &[], consumed, done: self.is_done() })
    }

    /// Has the body ended?
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The peer has closed: was that the end of the body?
    ///
    /// # Errors
    /// [`WireError::Truncated`] when it was not.
    pub fn on_eof(&self) -> Result<(), WireError> {
        match self.state {
            State::Done | State::UntilClose => Ok(()),
            _ => Err(WireError::Truncated),
        }
    }

    /// Counts data against the limit and what is left of the length or the chunk.
    fn count(&mut self, taken: usize, left: u64) -> Result<(), WireError> {
        let taken = u64::try_from(taken).unwrap_or(u64::MAX);
        self.allowed = self.allowed.checked_sub(taken).ok_or(WireError::BodyTooLarge)?;
        self.state = match self.state {
            State::Length(_) if left == taken => State::Done,
            State::Length(_) => State::Length(left - taken),
            State::Data(_) if left == taken => State::DataCr,
            State::Data(_) => State::Data(left - taken),
            other => other,
        };
        Ok(())
    }

    /// A whole line with the size of a chunk, as most are, and the line end before it. Whatever
    /// is odd about it, or cut, goes byte by byte.
    fn size_line(&mut self, input: &[u8]) -> Option<usize> {
        const DIGITS_MAX: usize = 7;
        let line = match self.state {
            State::DataCr => input.strip_prefix(b"\r\n")?,
            State::Size { digits: 0, .. } => input,
            _ => return None,
        };
        let (mut size, mut digits) = (0, 0);
        while let Some(digit) = line.get(digits).and_then(|byte| char::from(*byte).to_digit(16)) {
            size = size << 4 | u64::from(digit);
            digits += 1;
            if digits > DIGITS_MAX {
                return None;
            }
        }
        let is_data = digits > 0 && (1..=self.allowed).contains(&size);
        if !is_data || line.get(digits..digits + 2) != Some(b"\r\n") {
            return None;
        }
        self.state = State::Data(size);
        Some(input.len() - line.len() + digits + 2)
    }

    /// One byte of framing: sizes and line ends.
    fn framing_byte(&mut self, byte: u8) -> Result<(), WireError> {
        self.state = match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // Sixteen digits would overflow; leading zeros count, so that nobody sends a
                // million of them.
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                if digits == 15 {
                    return Err(WireError::BadChunk);
                }
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. }, b'\r') => State::SizeLf(value),
            (State::Size { value, digits: 1.. }, b';') => State::Extension { value, seen: 0 },
            (State::SizeLf(0), b'\n') => State::TrailerStart(0),
            (State::SizeLf(size), b'\n') if size > self.allowed => {
                return Err(WireError::BodyTooLarge);
            }
            (State::SizeLf(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart(_), b'\r') => State::LastLf,
            (State::TrailerStart(seen), _) if is_token(byte) => {
                State::Trailer { seen: seen + 1, colon: false }
            }
            (State::TrailerLf(seen), b'\n') => State::TrailerStart(seen),
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(WireError::BadChunk),
        };
        Ok(())
    }

    /// Skips an extension or a trailer line up to its CR, and checks its bytes.
    fn skip_line(&mut self, rest: &[u8]) -> Result<usize, WireError> {
        let end = memchr::memchr(b'\r', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        // A control byte hides a line end from one of two readers.
        if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(WireError::BadChunk);
        }
        let more = line.len();
        self.state = match self.state {
            State::Extension { seen, .. } if seen + more > CHUNK_LINE_MAX => {
                return Err(WireError::BadChunk);
            }
            State::Extension { value, .. } if end.is_some() => State::SizeLf(value),
            State::Extension { value, seen } => State::Extension { value, seen: seen + more },
            State::Trailer { seen, .. } if seen + more > TRAILER_BYTES_MAX => {
                return Err(WireError::BadChunk);
            }
            State::Trailer { seen, colon } => self.trailer(line, seen + more, colon, end)?,
            other => other,
        };
        Ok(more + usize::from(end.is_some()))
    }

    /// The name of a trailer is a token that a colon follows at once.
    fn trailer(
        &self,
        line: &[u8],
        seen: usize,
        colon: bool,
        end: Option<usize>,
    ) -> Result<State, WireError> {
        let name_ends = line.iter().position(|byte| *byte == b':');
        let name = line.get(..name_ends.unwrap_or(line.len())).unwrap_or_default();
        let legal = colon || name.iter().all(|byte| is_token(*byte));
        let colon = colon || name_ends.is_some();
        match end {
            _ if !legal => Err(WireError::BadChunk),
            Some(_) if !colon => Err(WireError::BadChunk),
            Some(_) => Ok(State::TrailerLf(seen)),
            None => Ok(State::Trailer { seen, colon }),
        }
    }
}

fn take(input: &[u8], at_most: u64) -> &[u8] {
    let length = usize::try_from(at_most).unwrap_or(usize::MAX).min(input.len());
    input.get(..length).unwrap_or_default()
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<(Vec<u8>, usize, bool), WireError>;

    fn read(framing: Framing, max: u64, parts: &[&[u8]]) -> Read {
        let mut reader = BodyReader::new(framing, max)?;
        let (mut body, mut used) = (Vec::new(), 0);
        for part in parts {
            let mut at = 0;
            while at < part.len() && !reader.is_done() {
                let step = reader.feed(&part[at..])?;
                assert!(step.consumed > 0, "a feed makes progress");
                body.extend_from_slice(step.data);
                at += step.consumed;
            }
            used += at;
        }
        Ok((body, used, reader.is_done()))
    }

    /// Whole, byte by byte and cut at every place: the outcome must not change.
    fn every_cut(framing: Framing, max: u64, input: &[u8]) -> Read {
        let whole = read(framing, max, &[input]);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(framing, max, &bytes), whole, "per byte");
        for cut in 0..=input.len() {
            let (head, tail) = input.split_at(cut);
            assert_eq!(read(framing, max, &[head, tail]), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn bodies_end_where_they_say() {
        let ok = |body: &[u8], used| Ok((body.to_vec(), used, true));
        assert_eq!(every_cut(Framing::Length(3), 9, b"abcdef"), ok(b"abc", 3));
        let chunked = b"3\r\nabc\r\n0a;x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\nC:\r\n\r\nnext";
        assert_eq!(every_cut(Framing::Chunked, 99, chunked), ok(b"abc0123456789", 45));
        assert_eq!(every_cut(Framing::None, 9, b"abc"), ok(b"", 0));
        let open = Ok((b"abc".to_vec(), 3, false));
        assert_eq!(every_cut(Framing::UntilClose, 9, b"abc"), open);
    }

    #[test]
    fn broken_chunks_are_refused_at_every_cut() {
        let bad: [&[u8]; 17] = [
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nabcXX0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"\r\n",
            b"x\r\n",
            b"+3\r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"-1\r\n",
            b"10000000000000000\r\n",
            b"3;a\nb\r\nabc\r\n",
            b"0\r\n\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nA : b\r\n\r\n",
            b"0\r\n: b\r\n\r\n",
        ];
        for input in bad {
            let shown = String::from_utf8_lossy(input);
            assert_eq!(every_cut(Framing::Chunked, 99, input), Err(WireError::BadChunk), "{shown}");
        }
        let long = [b"3;".to_vec(), vec![b'a'; 300], b"\r\nabc\r\n".to_vec()].concat();
        assert_eq!(read(Framing::Chunked, 99, &[&long]), Err(WireError::BadChunk));
        let long = [b"0\r\nA:".to_vec(), vec![b'a'; 9000], b"\r\n\r\n".to_vec()].concat();
        assert_eq!(read(Framing::Chunked, 99, &[&long]), Err(WireError::BadChunk));
    }

    #[test]
    fn limits_hold_at_their_edge() {
        assert!(read(Framing::Length(4), 4, &[b"abcd"]).is_ok());
        assert_eq!(read(Framing::Length(5), 4, &[]), Err(WireError::BodyTooLarge));
        assert!(read(Framing::Chunked, 4, &[b"4\r\nabcd\r\n0\r\n\r\n"]).is_ok());
        let two = b"4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n";
        assert_eq!(every_cut(Framing::Chunked, 4, two), Err(WireError::BodyTooLarge));
        assert_eq!(read(Framing::UntilClose, 2, &[b"abc"]), Err(WireError::BodyTooLarge));
    }

    #[test]
    fn a_close_is_an_end_only_where_the_framing_says_so() {
        let chunked = b"3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..chunked.len() {
            let mut reader = BodyReader::new(Framing::Chunked, 99).unwrap();
            let mut at = 0;
            while at < cut {
                at += reader.feed(&chunked[at..cut]).unwrap().consumed;
            }
            assert_eq!(reader.on_eof(), Err(WireError::Truncated), "cut at {cut}");
        }
        assert_eq!(BodyReader::new(Framing::UntilClose, 9).unwrap().on_eof(), Ok(()));
    }
}
