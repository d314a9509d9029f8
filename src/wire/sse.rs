//! Server-sent events (WHATWG HTML, section 9.2), incremental.
//!
//! Lines end in CR, LF or CR LF, also mixed and also cut between the two; a byte order mark at the
//! start, comments and unknown fields are skipped. An event that lies whole in one feed is handed
//! out as slices of the input; only what a cut leaves over is copied, into buffers that are used
//! again. Nothing is allocated once those have grown.

use memchr::memchr2;

use super::error::WireError;

/// One event with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'e> {
    /// The event's type; empty when none was sent.
    pub name: &'e [u8],
    /// Its `data` lines, joined with LF.
    pub data: &'e [u8],
}

/// Decodes one stream.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the stream so far")]
#[derive(Debug)]
pub struct SseDecoder {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Data of the event so far.
    data: Vec<u8>,
    name: Vec<u8>,
    has_data: bool,
    /// The last feed ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
    /// Bytes that one event may take.
    event_bytes_max: usize,
}

impl SseDecoder {
    /// A decoder for events of at most `event_bytes_max` bytes.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            name: Vec::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
            event_bytes_max,
        }
    }

    /// Hands every event that `input` completes to `sink`.
    ///
    /// # Errors
    /// [`WireError::EventTooLarge`], or what `sink` returns.
    pub fn feed<E: From<WireError>>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = input;
        if self.after_cr && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_cr = false;
        }
        // The only data line so far, while it can still be handed out without a copy.
        let mut direct: Option<&[u8]> = None;
        while let Some(end) = memchr2(b'\n', b'\r', rest) {
            let (line, tail) = rest.split_at(end);
            rest = after_line_end(tail, &mut self.after_cr);
            if self.line.is_empty() {
                self.on_line(line, &mut direct, sink)?;
            } else {
                self.line.extend_from_slice(line);
                let mut whole = std::mem::take(&mut self.line);
                self.keep(&mut direct);
                let mut copied: Option<&[u8]> = None;
                let result = self.on_line(&whole, &mut copied, sink);
                self.keep(&mut copied);
                whole.clear();
                self.line = whole;
                result?;
            }
        }
        self.keep(&mut direct);
        self.line.extend_from_slice(rest);
        self.check_size(self.line.len())?;
        Ok(())
    }

    /// The stream has ended: an event without its blank line still counts.
    ///
    /// # Errors
    /// What `sink` returns.
    pub fn finish<E: From<WireError>>(
        &mut self,
        sink: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.feed(b"\n\n", sink)
    }

    fn on_line<'i, E: From<WireError>>(
        &mut self,
        line: &'i [u8],
        direct: &mut Option<&'i [u8]>,
        sink: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = std::mem::take(&mut self.at_start);
        // Counted as if it had come in pieces, with the mark at the start, so that a cut decides
        // nothing.
        let length = line.len() + direct.map_or(0, <[u8]>::len);
        let line = if first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch(direct, sink);
        }
        self.check_size(length)?;
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" if !self.has_data && direct.is_none() => *direct = Some(value),
            b"data" => {
                self.keep(direct);
                self.data.push(b'\n');
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch<E>(
        &mut self,
        direct: &mut Option<&[u8]>,
        sink: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let data = direct.take().or_else(|| self.has_data.then_some(self.data.as_slice()));
        let result = match data {
            Some(data) => sink(SseEvent { name: &self.name, data }),
            None => Ok(()),
        };
        self.has_data = false;
        self.data.clear();
        self.name.clear();
        result
    }

    /// Copies the data line that could not be handed out directly.
    fn keep(&mut self, direct: &mut Option<&[u8]>) {
        if let Some(value) = direct.take() {
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
    }

    /// What an event takes: a line of it, and what is held already.
    fn check_size(&self, more: usize) -> Result<(), WireError> {
        let held = more + self.data.len() + self.name.len();
        if held > self.event_bytes_max { Err(WireError::EventTooLarge) } else { Ok(()) }
    }
}

/// What follows the line end at the start of `tail`; notes a CR that ends the input.
fn after_line_end<'i>(tail: &'i [u8], after_cr: &mut bool) -> &'i [u8] {
    match tail {
        [b'\r', b'\n', rest @ ..] => rest,
        [b'\r'] => {
            *after_cr = true;
            &[]
        }
        [_, rest @ ..] => rest,
        [] => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Result<Vec<(String, String)>, WireError>;

    fn decode(parts: &[&[u8]]) -> Seen {
        let mut decoder = SseDecoder::new(64);
        let mut seen = Vec::new();
        let mut sink = |event: SseEvent<'_>| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push((text(event.name), text(event.data)));
            Ok::<(), WireError>(())
        };
        for part in parts {
            decoder.feed(part, &mut sink)?;
        }
        decoder.finish(&mut sink)?;
        Ok(seen)
    }

    fn every_cut(input: &[u8]) -> Seen {
        let whole = decode(&[input]);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode(&bytes), whole, "per byte");
        for cut in 0..=input.len() {
            for second in cut..=input.len() {
                let parts = [&input[..cut], &input[cut..second], &input[second..]];
                assert_eq!(decode(&parts), whole, "cut at {cut} and {second}");
            }
        }
        whole
    }

    fn data(events: &[&str]) -> Seen {
        Ok(events.iter().map(|data| (String::new(), (*data).to_owned())).collect())
    }

    #[test]
    fn every_line_end_and_every_cut() {
        for end in ["\n", "\r", "\r\n"] {
            let text = "data: a\ndata:b\n\n: note\ndata:\n\nid: 1\n\ndata: c".replace('\n', end);
            assert_eq!(every_cut(text.as_bytes()), data(&["a\nb", "", "c"]), "{end:?}");
        }
        assert_eq!(every_cut(b"data: a\r\n\ndata: b\n\r\n\r"), data(&["a", "b"]));
    }

    #[test]
    fn names_marks_and_unknown_fields() {
        let named = every_cut(b"\xef\xbb\xbfevent: ping\ndata: {}\nretry: 5\nfoo\n\ndata\n\n");
        let expected = vec![("ping".to_owned(), "{}".to_owned()), (String::new(), String::new())];
        assert_eq!(named, Ok(expected));
        assert_eq!(every_cut("data: \u{1f600}\u{e9}\n\n".as_bytes()), data(&["\u{1f600}\u{e9}"]));
    }

    #[test]
    fn an_event_over_the_limit_is_refused() {
        let long = format!("data: {}", "x".repeat(100));
        assert_eq!(decode(&[long.as_bytes()]), Err(WireError::EventTooLarge));
        let many = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(4);
        assert_eq!(decode(&[many.as_bytes()]), Err(WireError::EventTooLarge));
        let fits = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\n".repeat(9);
        assert_eq!(decode(&[fits.as_bytes()]).unwrap().len(), 9);
        // Also when the event ends in the same bytes: a cut must not decide.
        for (length, fits) in [(58, true), (59, false)] {
            let line = "x".repeat(length);
            let whole = every_cut(format!("data: {line}\n\n").as_bytes());
            assert_eq!(whole.is_ok(), fits, "{length}");
            assert_eq!(every_cut(format!("{line}data: \n\n").as_bytes()).is_ok(), fits);
        }
        // The mark at the start counts as well.
        assert!(every_cut(format!("\u{feff}:{}\n\n", "x".repeat(60)).as_bytes()).is_ok());
        assert!(every_cut(format!("\u{feff}:{}\n\n", "x".repeat(61)).as_bytes()).is_err());
        let name = format!("event: {}\ndata: {}\n\n", "n".repeat(30), "x".repeat(28));
        assert!(every_cut(name.as_bytes()).is_ok());
        assert_eq!(every_cut(name.replace("xx", "xxx").as_bytes()), Err(WireError::EventTooLarge));
    }
}
