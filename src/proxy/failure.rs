//! Why an attempt at an upstream failed: the one place where network, HTTP and vendor errors meet
//! and become a row of the error table, a metric, and an answer to "may it be tried again?".

use crate::chat::{ApiError, Row};
use crate::config::Upstream;
use crate::net::{NetError, NetErrorKind, NetOp, TlsFault};
use crate::obs::UpstreamFailure;
use crate::policy::Fault;
use crate::provider::{UpstreamError, UpstreamErrorKind};
use crate::wire::WireError;

/// The code of a request that is too long for its model.
const TOO_LONG: &str = "context_length_exceeded";

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// Sending the request.
    Write,
    /// Waiting for the head of the answer; bytes of it may have come.
    Head {
        /// Has any byte of the answer come?
        begun: bool,
    },
    /// Reading the body of the answer.
    Body,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The upstream wants an access token, and there is none.
    NoToken,
    /// The network, or the upstream's end of it.
    Net(NetError, Phase),
    /// The answer is not HTTP that can be trusted.
    Wire(WireError),
    /// The vendor said so, or its answer is not what it should be.
    Vendor(UpstreamError),
    /// The vendor answered with this status, and `UpstreamError` says what it means.
    Status(u16, UpstreamError),
}

impl Failure {
    /// As the client sees it. A vendor may quote what it was sent: our keys are taken out.
    pub(super) fn told(&self, upstream: &Upstream) -> ApiError {
        let mut error = self.to_api();
        for key in &upstream.keys {
            error.conceal(key.expose());
        }
        error
    }

    fn to_api(&self) -> ApiError {
        match self {
            Self::NoToken => ApiError::new(
                Row::UPSTREAM_AUTH,
                "the gateway has no access token for the upstream",
            ),
            Self::Net(error, phase) => net_to_api(*error, *phase),
            Self::Wire(error) => UpstreamError::from(*error).to_api(),
            Self::Vendor(error) | Self::Status(_, error) => error.to_api(),
        }
    }

    /// Whose fault it was.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::NoToken => Fault::Unasked,
            Self::Net(error, phase) => net_fault(error.kind, *phase),
            Self::Wire(_) => Fault::Broken,
            // An answer that had begun well may have cost money: it is not asked for twice.
            Self::Vendor(error) => match error_fault(error) {
                Fault::Busy | Fault::Failed => Fault::Broken,
                other => other,
            },
            Self::Status(408, _) => Fault::Failed,
            Self::Status(_, error) => error_fault(error),
        }
    }

    /// When the upstream wants to be asked again.
    pub(super) fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Vendor(error) | Self::Status(_, error) => error.retry_after_ms,
            Self::NoToken | Self::Net(..) | Self::Wire(_) => None,
        }
    }

    /// Its reason in the metrics.
    pub(super) fn reason(&self) -> UpstreamFailure {
        match self {
            Self::NoToken => UpstreamFailure::NoToken,
            Self::Net(error, phase) => net_reason(*error, *phase),
            Self::Wire(WireError::Truncated) => UpstreamFailure::Truncated,
            Self::Wire(_) => UpstreamFailure::InvalidResponse,
            Self::Status(status, _) => status_reason(*status),
            Self::Vendor(error) => match error.kind {
                UpstreamErrorKind::Truncated => UpstreamFailure::Truncated,
                UpstreamErrorKind::Invalid => UpstreamFailure::InvalidResponse,
                _ => UpstreamFailure::ErrorInAnswer,
            },
        }
    }

    /// Did the upstream close an idle link just when it was used? Nothing of an answer came, so
    /// the request may be sent once more on a fresh connection.
    pub(super) fn is_stale_link(&self, reused: bool) -> bool {
        let closed = |kind| matches!(kind, NetErrorKind::Reset | NetErrorKind::Closed);
        match self {
            Self::Net(error, Phase::Write | Phase::Head { begun: false }) => {
                reused && closed(error.kind)
            }
            _ => false,
        }
    }
}

/// The reason in the metrics of an answer with this status.
pub(super) fn status_reason(status: u16) -> UpstreamFailure {
    match status {
        429 => UpstreamFailure::Http429,
        500.. => UpstreamFailure::Http5xx,
        400.. => UpstreamFailure::Http4xx,
        _ => UpstreamFailure::InvalidResponse,
    }
}

fn net_fault(kind: NetErrorKind, phase: Phase) -> Fault {
    match (kind, phase) {
        (NetErrorKind::Timeout, Phase::Write) => Fault::Broken,
        (NetErrorKind::Timeout, _) => Fault::Silent,
        // What a certificate lacks it lacks a second later, too.
        (NetErrorKind::Tls(_), Phase::Handshake) => Fault::Credential,
        (_, Phase::Connect | Phase::Handshake) => Fault::Unsent,
        _ => Fault::Broken,
    }
}

fn error_fault(error: &UpstreamError) -> Fault {
    match error.kind {
        UpstreamErrorKind::Refused if error.code.as_deref() == Some(TOO_LONG) => Fault::TooLong,
        UpstreamErrorKind::Refused | UpstreamErrorKind::TooLarge => Fault::Request,
        UpstreamErrorKind::ModelNotFound => Fault::UnknownModel,
        UpstreamErrorKind::Auth => Fault::Credential,
        UpstreamErrorKind::RateLimited | UpstreamErrorKind::Overloaded => Fault::Busy,
        UpstreamErrorKind::Failed(_) => Fault::Failed,
        UpstreamErrorKind::Timeout => Fault::Silent,
        UpstreamErrorKind::Invalid | UpstreamErrorKind::Truncated => Fault::Broken,
    }
}

fn net_to_api(error: NetError, phase: Phase) -> ApiError {
    match (error.kind, phase) {
        (NetErrorKind::Timeout, Phase::Connect) => {
            ApiError::new(Row::UPSTREAM_TIMEOUT, "the upstream did not accept a connection in time")
        }
        (NetErrorKind::Timeout, Phase::Handshake) => ApiError::new(
            Row::UPSTREAM_TIMEOUT,
            "the upstream did not complete the TLS handshake in time",
        ),
        (NetErrorKind::Timeout, Phase::Body) => {
            ApiError::new(Row::UPSTREAM_TIMEOUT, "the upstream stopped in the middle of its answer")
        }
        (NetErrorKind::Timeout, _) => {
            ApiError::new(Row::UPSTREAM_TIMEOUT, "the upstream did not answer in time")
        }
        (_, Phase::Body) => UpstreamError::truncated().to_api(),
        (NetErrorKind::Tls(fault), _) => ApiError::new(Row::UPSTREAM_TLS, tls_message(fault)),
        (_, Phase::Handshake) => ApiError::new(
            Row::UPSTREAM_CONNECTION,
            "the upstream closed the connection in the TLS handshake",
        ),
        (NetErrorKind::NoAddress, _) => {
            ApiError::new(Row::UPSTREAM_CONNECTION, "the upstream's name has no address")
        }
        (NetErrorKind::Proxy, _) => ApiError::new(
            Row::UPSTREAM_CONNECTION,
            "the proxy in front of the upstream opens no way to it",
        ),
        (NetErrorKind::Refused, _) => {
            ApiError::new(Row::UPSTREAM_CONNECTION, "the upstream refused the connection")
        }
        _ => ApiError::new(
            Row::UPSTREAM_CONNECTION,
            "the upstream closed the connection before it answered",
        ),
    }
}

fn tls_message(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::Expired => "the upstream's certificate has expired or is not valid yet",
        TlsFault::Name => "the upstream's certificate is for another name",
        TlsFault::UnknownCa => "the upstream's certificate comes from no trusted authority",
        TlsFault::Certificate => "the upstream's certificate cannot be used",
        TlsFault::Refused => "the upstream refused the TLS connection",
        TlsFault::NotTls => "the upstream does not speak TLS at this address",
        TlsFault::Protocol => "the upstream broke the rules of TLS",
    }
}

fn net_reason(error: NetError, phase: Phase) -> UpstreamFailure {
    match (error.kind, phase) {
        (NetErrorKind::NoAddress, _) => UpstreamFailure::Resolve,
        (NetErrorKind::Timeout, Phase::Connect) => UpstreamFailure::ConnectTimeout,
        (NetErrorKind::Timeout, Phase::Handshake) => UpstreamFailure::TlsTimeout,
        (NetErrorKind::Timeout, Phase::Write) => UpstreamFailure::WriteTimeout,
        (NetErrorKind::Timeout, Phase::Head { .. }) => UpstreamFailure::FirstByteTimeout,
        (NetErrorKind::Timeout, Phase::Body) => UpstreamFailure::IdleTimeout,
        (NetErrorKind::Refused, _) => UpstreamFailure::ConnectRefused,
        (_, Phase::Connect) => UpstreamFailure::ConnectError,
        (NetErrorKind::Tls(_), Phase::Body) => UpstreamFailure::Truncated,
        (NetErrorKind::Tls(fault), _) => match fault {
            TlsFault::Expired => UpstreamFailure::TlsExpired,
            TlsFault::Name => UpstreamFailure::TlsName,
            TlsFault::UnknownCa => UpstreamFailure::TlsUnknownCa,
            TlsFault::Certificate => UpstreamFailure::TlsCertificate,
            TlsFault::Refused => UpstreamFailure::TlsRefused,
            TlsFault::NotTls | TlsFault::Protocol => UpstreamFailure::TlsProtocol,
        },
        (_, Phase::Handshake) => UpstreamFailure::TlsReset,
        (NetErrorKind::Reset, _) => UpstreamFailure::Reset,
        (_, Phase::Body) => UpstreamFailure::Truncated,
        _ => UpstreamFailure::Eof,
    }
}

/// A failed or short read while the head or the body was awaited.
pub(super) fn read_failure(
    result: &std::io::Result<usize>,
    timed_out: bool,
    phase: Phase,
) -> Option<Failure> {
    let kind = match result {
        Ok(1..) => return None,
        _ if timed_out => NetErrorKind::Timeout,
        Ok(0) => NetErrorKind::Closed,
        Err(error) => NetError::from_io(NetOp::Read, error).kind,
    };
    Some(Failure::Net(NetError { op: NetOp::Read, kind }, phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(kind: NetErrorKind, phase: Phase) -> Failure {
        Failure::Net(NetError { op: NetOp::Read, kind }, phase)
    }

    #[test]
    fn every_network_failure_has_its_row_and_reason() {
        use NetErrorKind as K;
        use TlsFault as T;
        use UpstreamFailure as U;
        let tls = NetErrorKind::Tls;
        let early = Phase::Head { begun: false };
        let cases = [
            (K::Refused, Phase::Connect, 502, "upstream_connection_error", U::ConnectRefused),
            (K::NoAddress, Phase::Connect, 502, "upstream_connection_error", U::Resolve),
            (K::Timeout, Phase::Connect, 504, "upstream_timeout", U::ConnectTimeout),
            (K::Timeout, Phase::Write, 504, "upstream_timeout", U::WriteTimeout),
            (K::Timeout, early, 504, "upstream_timeout", U::FirstByteTimeout),
            (K::Timeout, Phase::Body, 504, "upstream_timeout", U::IdleTimeout),
            (K::Closed, early, 502, "upstream_connection_error", U::Eof),
            (K::Reset, early, 502, "upstream_connection_error", U::Reset),
            (K::Reset, Phase::Body, 502, "upstream_truncated", U::Reset),
            (K::Closed, Phase::Body, 502, "upstream_truncated", U::Truncated),
            (K::Timeout, Phase::Handshake, 504, "upstream_timeout", U::TlsTimeout),
            (K::Closed, Phase::Handshake, 502, "upstream_connection_error", U::TlsReset),
            (K::Reset, Phase::Handshake, 502, "upstream_connection_error", U::TlsReset),
            (tls(T::Expired), Phase::Handshake, 502, "upstream_tls_error", U::TlsExpired),
            (tls(T::Name), Phase::Handshake, 502, "upstream_tls_error", U::TlsName),
            (tls(T::UnknownCa), Phase::Handshake, 502, "upstream_tls_error", U::TlsUnknownCa),
            (tls(T::Certificate), Phase::Handshake, 502, "upstream_tls_error", U::TlsCertificate),
            (tls(T::NotTls), Phase::Handshake, 502, "upstream_tls_error", U::TlsProtocol),
            (tls(T::Protocol), Phase::Handshake, 502, "upstream_tls_error", U::TlsProtocol),
            // TLS 1.3 lets a server refuse our certificate after the handshake.
            (tls(T::Refused), early, 502, "upstream_tls_error", U::TlsRefused),
            (tls(T::Protocol), Phase::Body, 502, "upstream_truncated", U::Truncated),
        ];
        for (kind, phase, status, code, reason) in cases {
            let failure = net(kind, phase);
            let api = failure.to_api();
            assert_eq!((api.row.status, api.code()), (status, Some(code)), "{failure:?}");
            assert_eq!(api.row.final_answer, code == "upstream_tls_error", "{failure:?}");
            assert_eq!(failure.reason(), reason);
        }
    }

    #[test]
    fn a_missing_token_is_our_fault_and_final() {
        let api = Failure::NoToken.to_api();
        assert_eq!((api.row.status, api.code()), (502, Some("upstream_auth_error")));
        assert!(api.row.final_answer && !Failure::NoToken.is_stale_link(true));
        assert_eq!(Failure::NoToken.reason(), UpstreamFailure::NoToken);
    }

    #[test]
    fn only_an_untouched_reused_link_is_tried_again() {
        let early = Phase::Head { begun: false };
        assert!(net(NetErrorKind::Reset, early).is_stale_link(true));
        assert!(net(NetErrorKind::Closed, Phase::Write).is_stale_link(true));
        for failure in [
            net(NetErrorKind::Timeout, early),
            net(NetErrorKind::Reset, Phase::Head { begun: true }),
            net(NetErrorKind::Reset, Phase::Body),
            Failure::Wire(WireError::BadStatusLine),
        ] {
            assert!(!failure.is_stale_link(true), "{failure:?}");
        }
        assert!(!net(NetErrorKind::Reset, early).is_stale_link(false));
    }
}
