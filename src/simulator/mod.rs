//! The provider simulator: a separate opinion on the vendors' wire formats.
