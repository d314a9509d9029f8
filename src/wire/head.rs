//! Heads of requests and responses, parsed strictly (RFC 9112 sections 2 to 6).
//!
//! httparse does the splitting. What it lets pass and a gateway must not, is refused here: bare
//! line feeds, odd targets, doubtful framing. A request that two programs could read differently
//! is how one client's bytes become another client's request, so every doubt is an error:
//!
//! * both `Content-Length` and `Transfer-Encoding`, or either of them twice;
//! * a length that is not plain digits; a coding that is not exactly one `chunked`;
//! * chunked coding from an HTTP/1.0 client;
//! * a `Host` that is missing, doubled or not an authority.

use std::mem::MaybeUninit;

use httparse::Header;
use wide::u8x16;

use crate::base::ascii::{self, ByteSet};

use super::error::WireError;
use super::find::find;

/// The most fields that a head may have, whatever the configuration says.
pub const FIELDS_MAX: usize = 128;

/// The longest length that is believed: 2^53, beyond which JSON tools lose precision, and far
/// beyond any body limit.
const LENGTH_MAX: u64 = 1 << 53;

/// Limits of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head with its blank line.
    pub head_bytes: usize,
    /// Field lines; at most [`FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
}

/// Room for the fields of one head on the caller's stack. It is not initialised, so it is free.
pub type FieldStore<'b> = [MaybeUninit<Header<'b>>; FIELDS_MAX];

/// Empty room for the fields of a head.
pub fn field_store<'b>() -> FieldStore<'b> {
    [const { MaybeUninit::uninit() }; FIELDS_MAX]
}

/// Request methods that a gateway tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the methods")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Connect,
    Trace,
    Other,
}

impl Method {
    /// Its name; `OTHER` for one that is not told apart.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Other => "OTHER",
        }
    }
}

/// Fields that every message is asked for: they are found once, when the head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the fields")]
pub enum Known {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    ContentType,
    ContentEncoding,
    AcceptEncoding,
    Authorization,
    RequestId,
    TraceParent,
    Te,
}

/// How the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection; only responses.
    UntilClose,
}

/// Finds the end of a head in a growing buffer without looking at any byte twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Invariant: no blank line ends before this offset.
    searched: usize,
    /// Invariant: no bare line feed stands before this offset.
    checked: usize,
}

impl HeadScan {
    /// Starts at the beginning of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// The length of the head with its blank line, once it is whole.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        // The blank line may have begun in bytes that were searched before.
        let from = self.searched.saturating_sub(3);
        let found = find(bytes.get(from..)?, b"\r\n\r\n");
        self.searched = bytes.len();
        found.map(|at| from + at + 4)
    }

    /// Does a head that is not whole yet hold a bare line feed already? Then it will never be
    /// one, and waiting for its end would be waiting for nothing.
    pub fn is_broken(&mut self, bytes: &[u8]) -> bool {
        let from = std::mem::replace(&mut self.checked, bytes.len());
        has_bare_line_feed(bytes, from)
    }
}

/// A parsed request head.
#[derive(Debug)]
pub struct RequestHead<'f, 'b> {
    /// The method.
    pub method: Method,
    /// The target as sent.
    pub target: &'b str,
    /// 0 or 1.
    pub minor_version: u8,
    /// The target up to the first question mark, and the query behind it.
    parts: (&'b str, Option<&'b str>),
    fields: Fields<'f, 'b>,
}

/// A parsed response head.
#[derive(Debug)]
pub struct ResponseHead<'f, 'b> {
    /// 100 to 999.
    pub status: u16,
    /// 0 or 1.
    pub minor_version: u8,
    fields: Fields<'f, 'b>,
}

impl<'f, 'b> RequestHead<'f, 'b> {
    /// Parses a whole head, blank line included.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(
        head: &'b [u8],
        limits: &HeadLimits,
        store: &'f mut FieldStore<'b>,
    ) -> Result<Self, WireError> {
        check_target_length(head, limits)?;
        check_lines(head, limits)?;
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(head, store);
        if !matches!(parsed, Ok(httparse::Status::Complete(length)) if length == head.len()) {
            return Err(parsed
                .err()
                .map_or(WireError::BadField, |error| request_error(error, head)));
        }
        let (Some(method), Some(target), Some(minor_version)) =
            (request.method, request.path, request.version)
        else {
            return Err(WireError::BadRequestLine);
        };
        let fields = Fields::new(request.headers);
        if fields.all.len() > limits.fields {
            return Err(WireError::TooManyFields);
        }
        let mark = memchr::memchr(b'?', target.as_bytes());
        let parts = match mark.and_then(|at| Some((target.get(..at)?, target.get(at + 1..)?))) {
            Some((before, query)) => (before, Some(query)),
            None => (target, None),
        };
        let parsed = Self { method: method_of(method), target, minor_version, parts, fields };
        parsed.check_target()?;
        parsed.check_host()?;
        Ok(parsed)
    }

    /// The target's path, without query; of an absolute target the part after the authority.
    pub fn path(&self) -> &'b str {
        let (before, _) = self.parts;
        let rest = absolute_rest(before).map_or(before, |(_, rest)| rest);
        if rest.is_empty() { "/" } else { rest }
    }

    /// The query after the first question mark.
    pub fn query(&self) -> Option<&'b str> {
        self.parts.1
    }

    /// The value of the only field `name`, trimmed; none when it is missing or doubled.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.only(name)
    }

    /// The same for one that is asked for often.
    pub fn known(&self, name: Known) -> Option<&'b [u8]> {
        self.fields.known(name)
    }

    /// How many of the field's lines there are; 2 stands for more.
    pub fn count_known(&self, name: Known) -> usize {
        match self.fields.place(name) {
            0 => 0,
            DOUBLED => 2,
            _ => 1,
        }
    }

    /// How many field lines are called `name`.
    pub fn count(&self, name: &str) -> usize {
        self.fields.all.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count()
    }

    /// The values of all field lines that are called `name`, in their order.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let named = self.fields.all.iter();
        named.filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// How the body ends.
    ///
    /// # Errors
    /// Any doubt about it.
    pub fn framing(&self) -> Result<Framing, WireError> {
        let (length, coding) = self.fields.framing()?;
        match (length, coding) {
            (Some(_), Some(_)) => Err(WireError::FramingConflict),
            (None, Some(())) if self.minor_version == 0 => Err(WireError::FramingConflict),
            (None, Some(())) => Ok(Framing::Chunked),
            (Some(0) | None, None) => Ok(Framing::None),
            (Some(length), None) => Ok(Framing::Length(length)),
        }
    }

    /// May another request follow on this connection?
    pub fn keep_alive(&self) -> bool {
        self.fields.keep_alive(self.minor_version)
    }

    /// Does the client wait for `100 Continue` before it sends the body? HTTP/1.0 clients never.
    ///
    /// # Errors
    /// [`WireError::BadExpectation`] for any other expectation.
    pub fn expects_continue(&self) -> Result<bool, WireError> {
        match self.known(Known::Expect) {
            None if self.count_known(Known::Expect) == 0 => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
                Ok(self.minor_version == 1)
            }
            _ => Err(WireError::BadExpectation),
        }
    }

    /// Origin form, absolute form, or what `OPTIONS` and `CONNECT` use; nothing else.
    fn check_target(&self) -> Result<(), WireError> {
        const CLEAN: ByteSet = ByteSet::alphanumeric_and(b"!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~");
        let clean = CLEAN.has_all(self.target.as_bytes());
        let form = match self.target.as_bytes() {
            [b'/', ..] => true,
            b"*" => self.method == Method::Options,
            _ => absolute_rest(self.target).is_some() || self.method == Method::Connect,
        };
        if clean && form { Ok(()) } else { Err(WireError::BadRequestLine) }
    }

    /// HTTP/1.1 wants exactly one `Host`, an authority; an absolute target must agree with it.
    fn check_host(&self) -> Result<(), WireError> {
        let host = match self.known(Known::Host) {
            Some(host) => host,
            None if self.minor_version == 0 && self.count_known(Known::Host) == 0 => return Ok(()),
            None => return Err(WireError::BadHost),
        };
        let agrees = absolute_rest(self.target)
            .is_none_or(|(authority, _)| authority.as_bytes().eq_ignore_ascii_case(host));
        if is_authority(host) && agrees { Ok(()) } else { Err(WireError::BadHost) }
    }
}

impl<'f, 'b> ResponseHead<'f, 'b> {
    /// Parses a whole head, blank line included.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(
        head: &'b [u8],
        limits: &HeadLimits,
        store: &'f mut FieldStore<'b>,
    ) -> Result<Self, WireError> {
        check_lines(head, limits)?;
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, head, store);
        if !matches!(parsed, Ok(httparse::Status::Complete(length)) if length == head.len()) {
            return Err(parsed.err().map_or(WireError::BadField, response_error));
        }
        let (Some(status), Some(minor_version)) = (response.code, response.version) else {
            return Err(WireError::BadStatusLine);
        };
        if !(100..=999).contains(&status) {
            return Err(WireError::BadStatusLine);
        }
        let fields = Fields::new(response.headers);
        if fields.all.len() > limits.fields {
            return Err(WireError::TooManyFields);
        }
        Ok(Self { status, minor_version, fields })
    }

    /// The value of the only field `name`, trimmed; none when it is missing or doubled.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.only(name)
    }

    /// The same for one that is asked for often.
    pub fn known(&self, name: Known) -> Option<&'b [u8]> {
        self.fields.known(name)
    }

    /// All fields in the order sent.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'f, 'b> {
        self.fields.all.iter().map(|field| (field.name, field.value))
    }

    /// How the body ends (RFC 9112 section 6.3).
    ///
    /// # Errors
    /// Any doubt about it.
    pub fn framing(&self, request: Method) -> Result<Framing, WireError> {
        let (length, coding) = self.fields.framing()?;
        if request == Method::Head || matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Framing::None);
        }
        match (length, coding) {
            (Some(_), Some(_)) => Err(WireError::FramingConflict),
            (None, Some(())) if self.minor_version == 0 => Err(WireError::FramingConflict),
            (None, Some(())) => Ok(Framing::Chunked),
            (Some(length), None) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::UntilClose),
        }
    }

    /// May another request follow on this connection?
    pub fn keep_alive(&self) -> bool {
        self.fields.keep_alive(self.minor_version)
    }
}

/// A long target is told apart from other reasons before anything else is looked at. The line may
/// stand behind an empty one (RFC 9112 section 2.2).
fn check_target_length(head: &[u8], limits: &HeadLimits) -> Result<(), WireError> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let line = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let line = head.get(..line).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let target = words.nth(1).unwrap_or_default();
    if target.len() > limits.target_bytes { Err(WireError::TargetTooLong) } else { Ok(()) }
}

/// httparse takes a bare line feed for a line end; others do not, and that is a smuggling vector.
fn check_lines(head: &[u8], limits: &HeadLimits) -> Result<(), WireError> {
    if head.len() > limits.head_bytes {
        return Err(WireError::HeadTooLarge);
    }
    if has_bare_line_feed(head, 0) { Err(WireError::BadField) } else { Ok(()) }
}

/// Is there a line feed, at `from` or behind it, without a carriage return before it?
fn has_bare_line_feed(bytes: &[u8], from: usize) -> bool {
    if from == 0 && bytes.first() == Some(&b'\n') {
        return true;
    }
    let bytes = bytes.get(from.saturating_sub(1)..).unwrap_or_default();
    let (line_feed, carriage_return) = (u8x16::splat(b'\n'), u8x16::splat(b'\r'));
    let behind = bytes.get(1..).unwrap_or_default();
    let (behind16, behind) = behind.as_chunks::<16>();
    let is_bare = |(before, behind): (&[u8; 16], &[u8; 16])| {
        let line_feeds = u8x16::new(*behind).simd_eq(line_feed);
        (line_feeds & !u8x16::new(*before).simd_eq(carriage_return)).any()
    };
    let is_bare_pair = |(before, behind): (&u8, &u8)| *behind == b'\n' && *before != b'\r';
    let before = bytes.get(behind16.len() * 16..).unwrap_or_default();
    bytes.as_chunks::<16>().0.iter().zip(behind16).any(is_bare)
        || before.iter().zip(behind).any(is_bare_pair)
}

fn request_error(error: httparse::Error, head: &[u8]) -> WireError {
    match error {
        httparse::Error::TooManyHeaders => WireError::TooManyFields,
        httparse::Error::Version if names_a_version(head) => WireError::BadVersion,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => WireError::BadField,
        _ => WireError::BadRequestLine,
    }
}

/// Is the request line well formed but for its version, which is another one of HTTP's?
fn names_a_version(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (version, target) = (words.nth(2).unwrap_or_default(), words.next());
    let digits = version.strip_prefix(b"HTTP/").unwrap_or_default();
    let is_version = matches!(digits, [a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit());
    is_version && target.is_none()
}

fn response_error(error: httparse::Error) -> WireError {
    match error {
        httparse::Error::TooManyHeaders => WireError::TooManyFields,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => WireError::BadField,
        _ => WireError::BadStatusLine,
    }
}

/// Methods are case-sensitive.
fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        _ => Method::Other,
    }
}

/// How many fields [`Known`] names.
const KNOWN: usize = 12;

/// A place in [`Fields::places`] that says that the field stands there more than once.
const DOUBLED: u8 = u8::MAX;

/// The fields of a head.
#[derive(Debug)]
struct Fields<'f, 'b> {
    all: &'f [Header<'b>],
    /// One more than the index of each known field; 0 of one that is missing.
    places: [u8; KNOWN],
}

impl<'f, 'b> Fields<'f, 'b> {
    fn new(all: &'f [Header<'b>]) -> Self {
        let mut places = [0; KNOWN];
        // There are at most `FIELDS_MAX`.
        for (field, number) in all.iter().zip(1..DOUBLED) {
            if let Some(known) = known(field.name)
                && let Some(place) = places.get_mut(known as usize)
            {
                *place = if *place == 0 { number } else { DOUBLED };
            }
        }
        Self { all, places }
    }

    fn place(&self, name: Known) -> u8 {
        self.places.get(name as usize).copied().unwrap_or(0)
    }

    fn known(&self, name: Known) -> Option<&'b [u8]> {
        let index = usize::from(self.place(name)).checked_sub(1)?;
        Some(self.all.get(index)?.value.trim_ascii())
    }

    fn only(&self, name: &str) -> Option<&'b [u8]> {
        let mut named = self.all.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let value = named.next()?.value;
        named.next().is_none().then(|| value.trim_ascii())
    }

    /// The length and whether chunked coding is used; each at most once.
    fn framing(&self) -> Result<(Option<u64>, Option<()>), WireError> {
        let is_doubled = |name| self.place(name) == DOUBLED;
        if is_doubled(Known::ContentLength) || is_doubled(Known::TransferEncoding) {
            return Err(WireError::FramingConflict);
        }
        let number = |digits| ascii::parse_u64(digits).filter(|length| *length <= LENGTH_MAX);
        let length = match self.known(Known::ContentLength) {
            Some(digits) => Some(number(digits).ok_or(WireError::FramingConflict)?),
            None => None,
        };
        match self.known(Known::TransferEncoding) {
            None => Ok((length, None)),
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok((length, Some(()))),
            Some(_) => Err(WireError::UnsupportedCoding),
        }
    }

    fn keep_alive(&self, minor_version: u8) -> bool {
        let mut close = minor_version == 0;
        if self.place(Known::Connection) == 0 {
            return !close;
        }
        let is_connection = |field: &&Header<'_>| field.name.eq_ignore_ascii_case("connection");
        for field in self.all.iter().filter(is_connection) {
            for option in field.value.split(|byte| *byte == b',') {
                let option = option.trim_ascii();
                if option.eq_ignore_ascii_case(b"close") {
                    return false;
                }
                close &= !option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        !close
    }
}

/// Which of the known fields has this name? Most names are told apart by their length alone.
#[inline]
fn known(name: &str) -> Option<Known> {
    let name = name.as_bytes();
    let (known, is_it) = match name.len() {
        2 => (Known::Te, is(name, b"te")),
        4 => (Known::Host, is(name, b"host")),
        6 => (Known::Expect, is(name, b"expect")),
        10 => (Known::Connection, is(name, b"connection")),
        11 => (Known::TraceParent, is(name, b"traceparent")),
        12 if is(name, b"content-type") => (Known::ContentType, true),
        12 => (Known::RequestId, is(name, b"x-request-id")),
        13 => (Known::Authorization, is(name, b"authorization")),
        14 => (Known::ContentLength, is(name, b"content-length")),
        15 => (Known::AcceptEncoding, is(name, b"accept-encoding")),
        16 => (Known::ContentEncoding, is(name, b"content-encoding")),
        17 => (Known::TransferEncoding, is(name, b"transfer-encoding")),
        _ => return None,
    };
    is_it.then_some(known)
}

/// Is `name`, a token of HTTP, this word of small letters and hyphens, whatever its case? The bit
/// that is set makes small letters of large ones, and a hyphen of nothing else that a token has.
#[inline]
fn is<const N: usize>(name: &[u8], word: &[u8; N]) -> bool {
    let other = |name: &[u8; N]| {
        name.iter().zip(word).fold(0, |other, (byte, small)| other | (byte | 0x20) ^ small)
    };
    <&[u8; N]>::try_from(name).is_ok_and(|name| other(name) == 0)
}

/// Splits an absolute target into its authority and the rest.
fn absolute_rest(target: &str) -> Option<(&str, &str)> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| target.get(scheme.len()..))?
    })?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    (!authority.is_empty()).then_some((authority, rest))
}

/// A host name or address with an optional port: no user, no list, no space.
fn is_authority(host: &[u8]) -> bool {
    let (name, port) = match host.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let (address, port) = rest.split_at(end);
            let legal = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
            if address.len() < 2 || !address.iter().all(legal) {
                return false;
            }
            (address, port.get(1..).unwrap_or_default())
        }
        None => host.split_at(memchr::memchr(b':', host).unwrap_or(host.len())),
    };
    const NAME: ByteSet = ByteSet::alphanumeric_and(b"-._~%!$&'()*+;=:");
    let port_digits = port.strip_prefix(b":").unwrap_or(port);
    let port_fits = port.is_empty() || port.first() == Some(&b':');
    let digits = port_digits.len() <= 5 && port_digits.iter().all(u8::is_ascii_digit);
    !name.is_empty() && NAME.has_all(name) && port_fits && digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { head_bytes: 1024, fields: 10, target_bytes: 64 };

    fn request(head: &str) -> Result<(Method, Framing, bool), WireError> {
        let mut store = field_store();
        let parsed = RequestHead::parse(head.as_bytes(), &LIMITS, &mut store)?;
        parsed.expects_continue()?;
        Ok((parsed.method, parsed.framing()?, parsed.keep_alive()))
    }

    fn response(head: &str) -> Result<(u16, Framing, bool), WireError> {
        let mut store = field_store();
        let parsed = ResponseHead::parse(head.as_bytes(), &LIMITS, &mut store)?;
        Ok((parsed.status, parsed.framing(Method::Post)?, parsed.keep_alive()))
    }

    #[test]
    fn the_end_of_a_head_is_found_at_every_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest\r\n\r\n";
        for cut in 0..=head.len() {
            let mut scan = HeadScan::new();
            let early = scan.find(&head[..cut]);
            assert_eq!(early, (cut >= 27).then_some(27), "cut at {cut}");
            assert_eq!(early.or_else(|| scan.find(head)), Some(27), "cut at {cut}");
        }
        let mut scan = HeadScan::new();
        let found = (0..=head.len()).find_map(|end| scan.find(&head[..end]));
        assert_eq!(found, Some(27), "per byte");
    }

    #[test]
    fn a_bare_line_feed_is_found_before_the_end() {
        for (bytes, broken) in [(&b"GET / HTTP/1.1\n"[..], true), (b"GET /\r\nA: b\r\n", false)] {
            for cut in 0..=bytes.len() {
                let mut scan = HeadScan::new();
                let found = scan.is_broken(&bytes[..cut]) || scan.is_broken(bytes);
                assert_eq!(found, broken, "cut at {cut}");
            }
        }
        let mut store = field_store();
        let head = b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n";
        assert!(RequestHead::parse(head, &LIMITS, &mut store).is_ok());
    }

    #[test]
    fn plain_requests_are_understood() {
        let get = "GET /x?y HTTP/1.1\r\nHost: a:1\r\n\r\n";
        assert_eq!(request(get), Ok((Method::Get, Framing::None, true)));
        let post = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 12\r\nConnection: Close\r\n\r\n";
        assert_eq!(request(post), Ok((Method::Post, Framing::Length(12), false)));
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(request(chunked), Ok((Method::Post, Framing::Chunked, true)));
        let old = "GET / HTTP/1.0\r\n\r\n";
        assert_eq!(request(old), Ok((Method::Get, Framing::None, false)));
        let old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(request(old), Ok((Method::Get, Framing::None, true)));
        let absolute = "GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n";
        assert_eq!(request(absolute), Ok((Method::Get, Framing::None, true)));
    }

    #[test]
    fn every_doubt_about_a_request_is_an_error() {
        use WireError as E;
        let post = |fields: &str| request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let cases = [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", E::FramingConflict),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", E::FramingConflict),
            ("Content-Length: 1, 1\r\n", E::FramingConflict),
            ("Content-Length: +1\r\n", E::FramingConflict),
            ("Content-Length: 0x1\r\n", E::FramingConflict),
            ("Content-Length: 18446744073709551616\r\n", E::FramingConflict),
            ("Content-Length:\r\n", E::FramingConflict),
            ("Transfer-Encoding: gzip, chunked\r\n", E::UnsupportedCoding),
            ("Transfer-Encoding: identity\r\n", E::UnsupportedCoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", E::FramingConflict),
            ("Host: b\r\n", E::BadHost),
            ("X : y\r\n", E::BadField),
            ("X: y\r\n folded\r\n", E::BadField),
            ("X: a\u{7}b\r\n", E::BadField),
            ("X: a\nY: b\r\n", E::BadField),
            ("X: a\rb\r\n", E::BadField),
            ("Expect: 200-ok\r\n", E::BadExpectation),
        ];
        for (fields, expected) in cases {
            assert_eq!(post(fields), Err(expected), "{fields:?}");
        }
        let lines = [
            ("GET / HTTP/1.1\r\n\r\n", E::BadHost),
            ("GET / HTTP/1.1\r\nHost: \r\n\r\n", E::BadHost),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", E::BadHost),
            ("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", E::BadHost),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", E::BadHost),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", E::BadRequestLine),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", E::BadRequestLine),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", E::BadHost),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", E::BadRequestLine),
            ("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", E::BadRequestLine),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", E::BadRequestLine),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", E::BadVersion),
            ("\r\nGET / HTTP/2.0\r\nHost: a\r\n\r\n", E::BadVersion),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", E::FramingConflict),
        ];
        for (head, expected) in lines {
            assert_eq!(request(head), Err(expected), "{head:?}");
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let head = |fields: usize| {
            let lines = "a: b\r\n".repeat(fields - 1);
            request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).err()
        };
        assert_eq!((head(10), head(11)), (None, Some(WireError::TooManyFields)));
        let target = |length: usize| {
            let path = "x".repeat(length - 1);
            let plain = request(&format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")).err();
            let behind = request(&format!("\r\nGET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")).err();
            assert_eq!(plain, behind, "an empty line before it changes nothing");
            plain
        };
        assert_eq!((target(64), target(65)), (None, Some(WireError::TargetTooLong)));
        let long = "x".repeat(1024);
        let large = request(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"));
        assert_eq!(large, Err(WireError::HeadTooLarge));
    }

    #[test]
    fn responses_are_read_as_strictly() {
        use WireError as E;
        let ok = |fields: &str| response(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        assert_eq!(ok("content-length: 3\r\n"), Ok((200, Framing::Length(3), true)));
        assert_eq!(ok("Transfer-Encoding: chunked\r\n"), Ok((200, Framing::Chunked, true)));
        assert_eq!(ok("Connection: close\r\n"), Ok((200, Framing::UntilClose, false)));
        assert_eq!(response("HTTP/1.1 204 \r\n\r\n"), Ok((204, Framing::None, true)));
        let conflict = "content-length: 3\r\ntransfer-encoding: chunked\r\n";
        assert_eq!(ok(conflict), Err(E::FramingConflict));
        assert_eq!(ok("content-length: 3\r\ncontent-length: 3\r\n"), Err(E::FramingConflict));
        assert_eq!(ok("transfer-encoding: gzip\r\n"), Err(E::UnsupportedCoding));
        assert_eq!(response("HTTP/1.1 099 X\r\n\r\n"), Err(E::BadStatusLine));
        assert_eq!(response("ICY 200 OK\r\n\r\n"), Err(E::BadStatusLine));
        assert_eq!(ok("no colon\r\n"), Err(E::BadField));
        assert_eq!(ok("a: b\nc: d\r\n"), Err(E::BadField));
    }

    #[test]
    fn a_truncated_head_is_never_a_request() {
        let head = "POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";
        for cut in 0..head.len() {
            let part = head.split_at(cut).0;
            assert!(request(part).is_err(), "cut at {cut}");
        }
    }
}
