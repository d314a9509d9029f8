//! Server-sent events as they came: each event's own bytes, beside the data in them.
//!
//! [`super::sse`] gives the data only; this is for a relay that keeps the bytes. Lines end in CR,
//! LF or CR LF, also mixed and also cut between the two. A frame reaches up to and including the
//! blank line that ends its event; comments and blank lines before it belong to it. When a feed
//! ends between CR and LF, the LF belongs to the next frame, so that nothing waits for it.

use memchr::memchr2;

use super::error::WireError;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'f> {
    /// All its bytes.
    pub raw: &'f [u8],
    /// Its `data` lines, joined with LF; none when it has no such line.
    pub data: Option<&'f [u8]>,
    /// Where each `data` line begins: in `data` and in `raw`.
    pub lines: &'f [(usize, usize)],
}

impl Frame<'_> {
    /// The place in `raw` of a place in `data`.
    pub fn raw_place(&self, place: usize) -> usize {
        let line = self.lines.iter().rev().find(|(data, _)| *data <= place);
        line.map_or(place, |(data, raw)| raw + place - data)
    }
}

/// A place in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line.
    LineStart,
    /// The same, behind a CR: an LF that follows belongs to it.
    BehindCr,
    /// Some of a line has come.
    InLine,
}

/// A frame whose only line of data needs no joining.
struct Plain<'i> {
    raw: &'i [u8],
    data: &'i [u8],
    /// The length of `raw` from the data on.
    behind: usize,
}

/// Takes a stream apart.
#[derive(Debug)]
pub struct Frames {
    /// The beginning of a frame whose end has not come yet.
    held: Vec<u8>,
    /// Where the last feed ended.
    place: Place,
    at_stream_start: bool,
    /// `data` lines of one frame, joined.
    joined: Vec<u8>,
    lines: Vec<(usize, usize)>,
    /// Bytes that one frame may take.
    frame_bytes_max: usize,
}

impl Frames {
    /// For frames of at most `frame_bytes_max` bytes.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            held: Vec::new(),
            place: Place::LineStart,
            at_stream_start: true,
            joined: Vec::new(),
            lines: Vec::new(),
            frame_bytes_max,
        }
    }

    /// Hands every frame that `input` completes to `sink`.
    ///
    /// # Errors
    /// [`WireError::EventTooLarge`], or what `sink` returns.
    pub fn feed<E: From<WireError>>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = input;
        while self.held.is_empty()
            && let Some((frame, tail)) = self.plain(rest)
        {
            rest = tail;
            self.check_size(frame.raw.len())?;
            let at = frame.raw.len() - frame.behind;
            sink(Frame { raw: frame.raw, data: Some(frame.data), lines: &[(0, at)] })?;
        }
        while let Some(end) = self.find_end(rest) {
            let (frame, tail) = rest.split_at(end);
            rest = tail;
            if self.held.is_empty() {
                self.check_size(frame.len())?;
                self.hand_out(frame, sink)?;
            } else {
                self.held.extend_from_slice(frame);
                self.check_size(self.held.len())?;
                let mut whole = std::mem::take(&mut self.held);
                let result = self.hand_out(&whole, sink);
                whole.clear();
                self.held = whole;
                result?;
            }
        }
        self.held.extend_from_slice(rest);
        Ok(self.check_size(self.held.len())?)
    }

    /// The stream has ended: what is left over, if anything, with the event that it may be.
    ///
    /// # Errors
    /// What `sink` returns.
    pub fn finish<E: From<WireError>>(
        &mut self,
        sink: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let left = std::mem::take(&mut self.held);
        if left.is_empty() { Ok(()) } else { self.hand_out(&left, sink) }
    }

    /// A frame at the start of `input` that is one line of data and an empty one, as nearly all
    /// are, perhaps with the event's name before; and what is behind it.
    #[inline]
    fn plain<'i>(&self, input: &'i [u8]) -> Option<(Plain<'i>, &'i [u8])> {
        if self.place != Place::LineStart || self.at_stream_start {
            return None;
        }
        let line = match input.strip_prefix(b"event:") {
            None => input,
            Some(name) => {
                let end = memchr2(b'\n', b'\r', name)?;
                name.get(end..)?.strip_prefix(b"\n")?
            }
        };
        let value = line.strip_prefix(b"data:")?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let (data, ends) = value.split_at_checked(memchr2(b'\n', b'\r', value)?)?;
        let tail = ends.strip_prefix(b"\n\n").or_else(|| ends.strip_prefix(b"\r\n\r\n"))?;
        let raw = input.get(..input.len() - tail.len())?;
        Some((Plain { raw, data, behind: value.len() - tail.len() }, tail))
    }

    /// Where the frame that goes on in `input` ends there, if it does.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.place == Place::BehindCr && input.first() == Some(&b'\n') {
            self.place = Place::LineStart;
            at = 1;
        }
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                if !rest.is_empty() {
                    self.place = Place::InLine;
                }
                return None;
            };
            let blank = self.place != Place::InLine && length == 0;
            self.place = Place::LineStart;
            at += length + 1;
            if rest.get(length) == Some(&b'\r') {
                match input.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.place = Place::BehindCr,
                }
            }
            if blank {
                return Some(at);
            }
        }
    }

    /// Finds the data of a frame.
    fn hand_out<E>(
        &mut self,
        raw: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.joined.clear();
        self.lines.clear();
        let first = std::mem::take(&mut self.at_stream_start);
        let mut at = if first && raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        // The only line so far, which needs no copy.
        let mut direct: Option<&[u8]> = None;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            if let Some(value) = data_value(line) {
                let value_at = at + line.len() - value.len();
                if self.lines.is_empty() {
                    direct = Some(value);
                    self.lines.push((0, value_at));
                } else {
                    self.joined.extend_from_slice(direct.take().unwrap_or_default());
                    self.joined.push(b'\n');
                    self.lines.push((self.joined.len(), value_at));
                    self.joined.extend_from_slice(value);
                }
            }
            // Of CR LF the LF is then an empty line, which says nothing.
            at += length + 1;
        }
        let data = direct.or_else(|| (!self.lines.is_empty()).then_some(&*self.joined));
        sink(Frame { raw, data, lines: &self.lines })
    }

    fn check_size(&self, size: usize) -> Result<(), WireError> {
        if size > self.frame_bytes_max { Err(WireError::EventTooLarge) } else { Ok(()) }
    }
}

/// The value of a `data` line.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raw bytes and data of every frame.
    type Seen = Result<Vec<(String, Option<String>)>, WireError>;

    fn split(parts: &[&[u8]]) -> Seen {
        let mut frames = Frames::new(64);
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut sink = |frame: Frame<'_>| {
            seen.push((text(frame.raw), frame.data.map(text)));
            Ok::<(), WireError>(())
        };
        for part in parts {
            frames.feed(part, &mut sink)?;
        }
        frames.finish(&mut sink)?;
        Ok(seen)
    }

    /// What must not depend on the cuts: the data, and all bytes together.
    fn sum(seen: Seen) -> Result<(String, Vec<String>), WireError> {
        let seen = seen?;
        let raw = seen.iter().map(|(raw, _)| raw.as_str()).collect();
        Ok((raw, seen.into_iter().filter_map(|(_, data)| data).collect()))
    }

    fn every_cut(input: &[u8]) -> Seen {
        let whole = split(&[input]);
        let expected = sum(whole.clone());
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(sum(split(&bytes)), expected, "per byte");
        for cut in 0..=input.len() {
            for second in cut..=input.len() {
                let parts = [&input[..cut], &input[cut..second], &input[second..]];
                assert_eq!(sum(split(&parts)), expected, "cut at {cut} and {second}");
            }
        }
        whole
    }

    #[test]
    fn frames_keep_their_bytes_and_give_their_data() {
        for end in ["\n", "\r", "\r\n"] {
            let parts =
                ["data: a\ndata:b\n\n", ": note\ndata\n\n", "\n", "id: 1\nx\n\n", "data: c"];
            let parts = parts.map(|part| part.replace('\n', end));
            let seen = every_cut(parts.concat().as_bytes()).unwrap();
            let data = [Some("a\nb"), Some(""), None, None, Some("c")];
            let expected: Vec<_> =
                parts.into_iter().zip(data.map(|data| data.map(str::to_owned))).collect();
            assert_eq!(seen, expected, "{end:?}");
        }
    }

    #[test]
    fn a_piece_between_two_line_feeds_ends_no_event() {
        let seen = every_cut(b"data: a\r\ndata: b\r\ndata: c\r\n\r\n").unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].1.as_deref(), Some("a\nb\nc"));
    }

    #[test]
    fn a_mark_at_the_start_and_odd_fields_are_no_data() {
        let seen = every_cut("\u{feff}data: {}\n\ndatax: 1\n data: 2\ndata:  3\n\n".as_bytes());
        let data: Vec<_> = seen.unwrap().into_iter().map(|(_, data)| data.unwrap()).collect();
        assert_eq!(data, ["{}", " 3"]);
    }

    #[test]
    fn a_place_in_the_data_is_found_in_the_bytes() {
        let mut frames = Frames::new(99);
        let mut sink = |frame: Frame<'_>| {
            let data = frame.data.unwrap_or_default();
            for (place, byte) in data.iter().enumerate().filter(|(_, byte)| **byte != b'\n') {
                assert_eq!(frame.raw.get(frame.raw_place(place)), Some(byte), "{place}");
            }
            Ok::<(), WireError>(())
        };
        frames.feed(b"data: ab\r\n: x\r\ndata:cd\r\ndata\r\ndata: e\r\n\r\n", &mut sink).unwrap();
    }

    #[test]
    fn a_frame_over_the_limit_is_refused() {
        let long = format!("data: {}\n\n", "x".repeat(100));
        assert_eq!(every_cut(long.as_bytes()), Err(WireError::EventTooLarge));
        let fits = format!("data: {}\n\n", "x".repeat(50)).repeat(9);
        assert_eq!(split(&[fits.as_bytes()]).unwrap().len(), 9);
    }
}
