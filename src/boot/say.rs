//! Lines of the life cycle.

use crate::obs::log::{self, Level};
use crate::rt::unix_millis;

/// Writes a line of the life cycle.
pub(super) fn say(level: Level, message: &str) {
    log::write(level, unix_millis(), message);
}
