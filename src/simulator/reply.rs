//! An answer as a plan: what is to be written, before anything is.

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Written at once.
    Whole(Vec<u8>),
    /// Written event by event.
    Stream(Vec<Vec<u8>>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Ready field lines.
    pub(super) fields: &'static str,
    pub(super) body: Body,
}

impl Reply {
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: "application/json; charset=UTF-8",
            fields: "",
            body: Body::Whole(body.into()),
        }
    }

    pub(super) fn events(events: Vec<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type: "text/event-stream",
            fields: "cache-control: no-cache\r\n",
            body: Body::Stream(events),
        }
    }
}

/// What a vendor file gets to see of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'r> {
    pub(super) target: &'r str,
    /// The credential, from whichever field the vendor reads.
    pub(super) key: Option<&'r [u8]>,
    /// `anthropic-version`.
    pub(super) version: Option<&'r [u8]>,
    pub(super) body: &'r [u8],
    /// Tokens that an answer has at most.
    pub(super) tokens: u32,
    /// Numbers the answers.
    pub(super) serial: u64,
    /// Seconds since 1970.
    pub(super) now: u64,
}

/// The field that serde did not know: it names it between backticks.
pub(super) fn unknown_field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let rest = text.split_once("unknown field `")?.1;
    rest.split_once('`').map(|(name, _)| name.to_owned())
}
