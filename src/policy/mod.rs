//! Decisions as pure functions of state and time.
