//! A decision against a request: our own "no", not a failure.

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// 401: a key is needed and none was sent.
    NoKey,
    /// 401: what was sent is no key that is known.
    WrongKey,
    /// 401: the key stands in the request target, which ends in logs.
    KeyInQuery,
    /// 400: more than one field with a key, so that two readers could disagree.
    DuplicateKey,
    /// 403: no admin key is configured, so nobody may administrate.
    NoAdminKey,
    /// 403: the key may not use this model.
    ModelNotAllowed,
    /// 403: the key may not use this route.
    RouteNotAllowed,
}

impl Reject {
    /// What the client is told. Never repeats what it sent.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoKey => "no API key: send it as `Authorization: Bearer KEY`",
            Self::WrongKey => "the API key is not valid",
            Self::KeyInQuery => {
                "the API key stands in the URL, which ends in logs: send it in a header field"
            }
            Self::DuplicateKey => "more than one API key",
            Self::NoAdminKey => "no admin key is configured: set auth.admin_key",
            Self::ModelNotAllowed => "this API key may not use this model",
            Self::RouteNotAllowed => "this API key may not use the route of this model",
        }
    }
}
