//! Where and how IO towards an upstream broke. Whose fault it was is decided by the caller.

use std::io;

use rustls::{CertificateError, Error, InvalidMessage};

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetOp {
    /// Turning the upstream's name into addresses.
    Resolve,
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Handshake,
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
    /// The proxy in front of it opens no way to it.
    Proxy,
    /// TLS refuses to go on.
    Tls(TlsFault),
    /// Another reason of the operating system, by number; 0 when it gave none.
    Os(i32),
}

/// Why TLS refuses to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate has expired or is not valid yet.
    Expired,
    /// The certificate is for another name.
    Name,
    /// No authority that we trust stands behind the certificate.
    UnknownCa,
    /// The certificate cannot be used for another reason: revoked, broken, for another purpose.
    Certificate,
    /// The peer refused us with an alert.
    Refused,
    /// What the peer sends is no TLS at all.
    NotTls,
    /// What the peer sends breaks the rules of TLS, or nothing that both sides speak was found.
    Protocol,
}

impl TlsFault {
    /// Classifies rustls' error.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoCertificatesPresented => Self::Certificate,
            Error::AlertReceived(_) => Self::Refused,
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            _ => Self::Protocol,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as C;
        match error {
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::Expired,
            C::NotValidForName | C::NotValidForNameContext { .. } => Self::Name,
            // `Other` is what rustls has no name for: mostly a certificate that signed itself.
            C::UnknownIssuer | C::BadSignature | C::Other(_) => Self::UnknownCa,
            _ => Self::Certificate,
        }
    }

    /// As a connection hands it out.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }
}

impl std::fmt::Display for TlsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expired => "the certificate has expired or is not valid yet",
            Self::Name => "the certificate is for another name",
            Self::UnknownCa => "no trusted authority stands behind the certificate",
            Self::Certificate => "the certificate cannot be used",
            Self::Refused => "the peer refused the TLS connection",
            Self::NotTls => "the peer does not speak TLS",
            Self::Protocol => "the peer breaks the rules of TLS",
        })
    }
}

impl std::error::Error for TlsFault {}

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
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFault>());
        if let Some(fault) = fault {
            return Self { op, kind: NetErrorKind::Tls(*fault) };
        }
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
        let tls = NetError::from_io(NetOp::Read, &TlsFault::Refused.into_io());
        assert_eq!(tls.kind, NetErrorKind::Tls(TlsFault::Refused));
    }

    #[test]
    fn errors_of_tls_fall_into_our_classes() {
        use CertificateError as C;
        let certificate = |error: C| TlsFault::of(&Error::InvalidCertificate(error));
        assert_eq!(certificate(C::Expired), TlsFault::Expired);
        assert_eq!(certificate(C::NotValidYet), TlsFault::Expired);
        assert_eq!(certificate(C::NotValidForName), TlsFault::Name);
        assert_eq!(certificate(C::UnknownIssuer), TlsFault::UnknownCa);
        assert_eq!(certificate(C::Revoked), TlsFault::Certificate);
        let alert = Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert_eq!(TlsFault::of(&alert), TlsFault::Refused);
        let foreign = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(TlsFault::of(&foreign), TlsFault::NotTls);
        assert_eq!(TlsFault::of(&Error::DecryptError), TlsFault::Protocol);
    }
}
