//! Where and how IO towards an upstream broke. Whose fault it was is decided by the caller.

use std::io;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetOp {
    /// Turning the upstream's name into addresses.
    Resolve,
    /// Opening the connection.
    Connect,
    /// Sending the request.
    Write,
    /// Waiting for the answer.
    Read,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetErrorKind {
    /// A deadline passed.
    Timeout,
    /// Nobody listens.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection.
    Closed,
    /// No address is known for the name.
    NoAddress,
    /// Another reason of the operating system, by number; 0 when it gave none.
    Os(i32),
}

/// A failure of the network or of the upstream's end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetError {
    /// What was being done.
    pub op: NetOp,
    /// How it ended.
    pub kind: NetErrorKind,
}

impl NetError {
    /// Classifies the operating system's error.
    pub fn from_io(op: NetOp, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => NetErrorKind::Timeout,
            io::ErrorKind::ConnectionRefused => NetErrorKind::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                NetErrorKind::Reset
            }
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WriteZero => NetErrorKind::Closed,
            _ => NetErrorKind::Os(error.raw_os_error().unwrap_or(0)),
        };
        Self { op, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_operating_system_fall_into_our_classes() {
        let class = |kind: io::ErrorKind| NetError::from_io(NetOp::Read, &kind.into()).kind;
        assert_eq!(class(io::ErrorKind::ConnectionRefused), NetErrorKind::Refused);
        assert_eq!(class(io::ErrorKind::ConnectionReset), NetErrorKind::Reset);
        assert_eq!(class(io::ErrorKind::BrokenPipe), NetErrorKind::Closed);
        let odd = io::Error::from_raw_os_error(113);
        assert_eq!(NetError::from_io(NetOp::Connect, &odd).kind, NetErrorKind::Os(113));
    }
}
