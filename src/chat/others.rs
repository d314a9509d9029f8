//! Fields of a request that have no meaning here, remembered by name.

use std::borrow::Cow;

/// So many are remembered; a client cannot make us keep more.
pub(super) const OTHERS_MAX: usize = 64;

/// Remembers a field by name, once.
pub(super) fn note(others: &mut Vec<Cow<'_, str>>, name: &str) {
    if others.len() < OTHERS_MAX && !others.iter().any(|other| other == name) {
        others.push(Cow::Owned(name.to_owned()));
    }
}
