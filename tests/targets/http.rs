//! Heads and bodies of HTTP/1.1 against a plain reading of their lines.

use vertex_bridge::wire::head::field_store;
use vertex_bridge::wire::{
    BodyReader, Framing, HeadLimits, HeadScan, Method, RequestHead, ResponseHead, WireError,
};

use super::cut;

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 32, target_bytes: 256 };

/// A head that is accepted can be read in one way only.
pub(super) fn request_head(data: &[u8]) {
    let Some(head) = find(data) else { return };
    let mut store = field_store();
    let Ok(parsed) = RequestHead::parse(head, &LIMITS, &mut store) else { return };
    let lines = plain(head);
    assert!(lines.bare_line_feeds == 0 && lines.count("host") <= 1);
    assert!(head.len() <= LIMITS.head_bytes && lines.fields.len() <= LIMITS.fields);
    assert!(parsed.path().starts_with(['/', '*']) || parsed.method == Method::Connect);
    assert!(parsed.target.len() <= LIMITS.target_bytes && parsed.target.is_ascii());
    let (_, _) = (parsed.keep_alive(), parsed.expects_continue());
    if let Ok(framing) = parsed.framing() {
        lines.agree(framing);
        assert_ne!(framing, Framing::UntilClose, "a request ends before its connection");
    }
}

/// The same for a vendor's head.
pub(super) fn response_head(data: &[u8]) {
    let Some(head) = find(data) else { return };
    let mut store = field_store();
    let Ok(parsed) = ResponseHead::parse(head, &LIMITS, &mut store) else { return };
    let lines = plain(head);
    assert!((100..1000).contains(&parsed.status));
    assert_eq!(parsed.fields().count(), lines.fields.len());
    let _ = parsed.keep_alive();
    for method in [Method::Post, Method::Head] {
        if let Ok(framing) = parsed.framing(method)
            && framing != Framing::None
        {
            lines.agree(framing);
        }
    }
}

/// The end of the head is found at the same place however the bytes come.
fn find(data: &[u8]) -> Option<&[u8]> {
    let whole = HeadScan::new().find(data);
    let (mut scan, mut broken) = (HeadScan::new(), HeadScan::new());
    let (mut end, mut bare, mut seen) = (None, false, 0);
    for piece in cut::pieces(data, &mut cut::rng_of(data)) {
        seen += piece.len();
        bare |= broken.is_broken(&data[..seen]);
        end = end.or_else(|| scan.find(&data[..seen]));
    }
    assert_eq!(end, whole, "where a head ends");
    assert_eq!(bare, HeadScan::new().is_broken(data), "a bare line feed");
    whole.map(|end| &data[..end])
}

/// A head as a reader without any rule sees it.
struct Plain {
    bare_line_feeds: usize,
    fields: Vec<(String, Vec<u8>)>,
}

fn plain(head: &[u8]) -> Plain {
    // One empty line before a message is no part of it (RFC 9112 section 2.2).
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let ends = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let bare = ends.filter(|(at, _)| *at == 0 || head[at - 1] != b'\r').count();
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
        (name, value.get(1..).unwrap_or_default().trim_ascii().to_vec())
    });
    Plain { bare_line_feeds: bare, fields: fields.collect() }
}

impl Plain {
    fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(known, _)| known == name).count()
    }

    fn value(&self, name: &str) -> &[u8] {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or(&[], |(_, value)| value)
    }

    /// What was decided is what these lines say, and nothing else could be.
    fn agree(&self, framing: Framing) {
        let (lengths, codings) = (self.count("content-length"), self.count("transfer-encoding"));
        assert!(lengths + codings <= 1, "{framing:?} of {:?}", self.fields);
        match framing {
            Framing::Length(length) => {
                let value = self.value("content-length");
                assert!(value.iter().all(u8::is_ascii_digit), "{value:?}");
                let digits = std::str::from_utf8(value).expect("digits");
                assert_eq!(digits.parse(), Ok(length));
            }
            Framing::Chunked => {
                assert!(self.value("transfer-encoding").eq_ignore_ascii_case(b"chunked"));
            }
            Framing::None => assert_eq!(codings, 0),
            Framing::UntilClose => assert_eq!(lengths + codings, 0),
        }
    }
}

/// Cuts change neither the body nor where it ends, and a plain reader finds the same.
pub(super) fn body(data: &[u8]) {
    const BODY_BYTES_MAX: u64 = 2048;
    let lengths = [Framing::Length(0), Framing::Length(100), Framing::UntilClose];
    for framing in lengths.into_iter().chain([Framing::Chunked]) {
        let whole = read(framing, BODY_BYTES_MAX, &[data]);
        let bytes: Vec<&[u8]> = data.chunks(1).collect();
        assert_eq!(read(framing, BODY_BYTES_MAX, &bytes), whole, "byte by byte");
        let pieces = cut::pieces(data, &mut cut::rng_of(data));
        assert_eq!(read(framing, BODY_BYTES_MAX, &pieces), whole, "in pieces");
    }
    if let (Ok(()), body, used, true) = read(Framing::Chunked, BODY_BYTES_MAX, &[data]) {
        assert_eq!(unchunked(&data[..used]), Some(body));
    }
}

type Body = (Result<(), WireError>, Vec<u8>, usize, bool);

fn read(framing: Framing, bytes_max: u64, pieces: &[&[u8]]) -> Body {
    let mut reader = BodyReader::new(framing, bytes_max).expect("a length within the limit");
    let (mut body, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !reader.is_done() {
            match reader.feed(rest) {
                Ok(step) => {
                    assert!(step.consumed > 0, "a feed makes progress");
                    assert_eq!(step.done, reader.is_done());
                    body.extend_from_slice(step.data);
                    used += step.consumed;
                    rest = &rest[step.consumed..];
                }
                // How much of it was given before the fault depends on the cuts.
                Err(error) => return (Err(error), Vec::new(), 0, false),
            }
        }
    }
    (Ok(()), body, used, reader.is_done())
}

/// The body of a whole message in chunked coding.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&rest[..end]);
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            let trailers_end = rest == b"\r\n" || rest.ends_with(b"\r\n\r\n");
            return trailers_end.then_some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
