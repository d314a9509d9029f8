//! Writing heads and chunks into a caller's buffer.

use crate::base::ascii;
use crate::base::date::civil;

/// How many bytes [`begin_chunk`] reserves: eight hex digits and CR LF.
const CHUNK_HEAD: usize = 10;

/// Appends the status line.
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    ascii::push_u64(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `name: value`. A value that could end the line early is not written at all, so that
/// no peer can split our answer; the result says whether it was.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> bool {
    let clean = value.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
    if clean {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    clean
}

/// Begins a chunk whose size is not known yet; returns the mark that [`end_chunk`] wants.
pub fn begin_chunk(out: &mut Vec<u8>) -> usize {
    let mark = out.len();
    out.extend_from_slice(b"00000000\r\n");
    mark
}

/// Ends the chunk begun at `mark`: writes its size in place. An empty chunk is taken back, because
/// a size of zero would end the body.
pub fn end_chunk(out: &mut Vec<u8>, mark: usize) {
    let size = out.len().saturating_sub(mark + CHUNK_HEAD);
    if size == 0 {
        out.truncate(mark);
        return;
    }
    let Some(digits) = out.get_mut(mark..mark + CHUNK_HEAD - 2) else { return };
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[size >> (4 * place) & 15];
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the chunk that ends a body. Fields may follow, as in a head, and then an empty line.
pub fn open_trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
}

/// Appends what `put` appends, as a chunk of its own where the body comes in chunks.
pub fn piece(out: &mut Vec<u8>, chunked: bool, put: impl FnOnce(&mut Vec<u8>)) {
    if !chunked {
        return put(out);
    }
    let mark = begin_chunk(out);
    put(out);
    end_chunk(out, mark);
}

/// The usual words for a status; clients ignore them.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

/// The value of a `Date` field (RFC 9110 section 5.6.7) for seconds since 1970.
pub fn push_http_date(out: &mut Vec<u8>, unix_seconds: u64) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let named = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or("")
    };
    out.extend_from_slice(named(&DAYS, days % 7).as_bytes());
    out.extend_from_slice(b", ");
    pad(out, day, 2);
    out.push(b' ');
    out.extend_from_slice(named(&MONTHS, month.saturating_sub(1)).as_bytes());
    out.push(b' ');
    pad(out, year, 4);
    for (mark, value) in [(b' ', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(mark);
        pad(out, value, 2);
    }
    out.extend_from_slice(b" GMT");
}

/// `YYYY-MM-DDThh:mm:ssZ` (RFC 3339) of seconds since 1970.
pub fn push_rfc3339(out: &mut Vec<u8>, unix_seconds: u64) {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    pad(out, year, 4);
    for (mark, value) in [(b'-', month), (b'-', day), (b'T', second / 3600)] {
        out.push(mark);
        pad(out, value, 2);
    }
    for value in [second / 60 % 60, second % 60] {
        out.push(b':');
        pad(out, value, 2);
    }
    out.push(b'Z');
}

fn pad(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + u8::try_from(value / 10u64.pow(place) % 10).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BodyReader, Framing};

    #[test]
    fn chunks_are_read_back_as_written() {
        let mut out = Vec::new();
        let long = vec![b'x'; 70_000];
        for text in [&b"hello"[..], b"", &long] {
            let mark = begin_chunk(&mut out);
            out.extend_from_slice(text);
            end_chunk(&mut out, mark);
        }
        open_trailer(&mut out);
        assert!(field(&mut out, "a", b"b"));
        out.extend_from_slice(b"\r\n");
        let mut reader = BodyReader::new(Framing::Chunked, 1 << 20).unwrap();
        let (mut at, mut body) = (0, Vec::new());
        while !reader.is_done() {
            let step = reader.feed(&out[at..]).unwrap();
            body.extend_from_slice(step.data);
            at += step.consumed;
        }
        assert_eq!((at, body.len()), (out.len(), 70_005));
    }

    #[test]
    fn a_value_cannot_split_the_head() {
        let mut out = Vec::new();
        assert!(field(&mut out, "a", b"b\tc \xc3\xa9"));
        assert!(!field(&mut out, "a", b"b\r\nc: d") && !field(&mut out, "a", b"\0"));
        assert_eq!(out, b"a: b\tc \xc3\xa9\r\n");
    }

    #[test]
    fn http_dates_have_their_weekday() {
        for (seconds, expected) in
            [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT")]
        {
            let mut out = Vec::new();
            push_http_date(&mut out, seconds);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ];
        for (seconds, expected) in cases {
            let mut out = Vec::new();
            push_rfc3339(&mut out, seconds);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
