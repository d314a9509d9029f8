//! The control plane: pages as bytes. Rendered on the control thread, never on a core.

pub mod page;
pub mod ready;

pub use page::Pages;
pub use ready::{Readiness, UpstreamState};
