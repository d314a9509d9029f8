//! Which rule of RFC 9110 or RFC 9112 a message broke. What the peer is told is decided above.

/// A broken rule. After any of these the connection is closed: nobody can tell where the next
/// message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The head is longer than the limit.
    HeadTooLarge,
    /// The head has more fields than the limit.
    TooManyFields,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The request line is not `METHOD SP target SP HTTP/1.x`.
    BadRequestLine,
    /// The status line is not `HTTP/1.x SP 3DIGIT`.
    BadStatusLine,
    /// The version is not 1.0 or 1.1.
    BadVersion,
    /// A field line is not `name: value`, is folded, or holds a control byte.
    BadField,
    /// `Host` is missing, doubled, or no authority.
    BadHost,
    /// Both a length and chunked coding, or two lengths, or an odd one.
    FramingConflict,
    /// A transfer coding other than one `chunked`.
    UnsupportedCoding,
    /// An expectation other than `100-continue`.
    BadExpectation,
    /// A chunk size, its line end, or a trailer is broken.
    BadChunk,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The peer closed before the message was whole.
    Truncated,
    /// A server-sent event is longer than the limit.
    EventTooLarge,
}
