//! What leaves the process about exchanges, made from their records and off the cores: spans to a
//! collector, lines of the log, figures of the metrics.

pub mod collector;
pub mod delivery;
pub mod exporter;
pub mod lines;
pub mod proto;
pub mod span;
pub mod told;

pub use collector::Collector;
pub use exporter::{Exporter, Feed};
pub use lines::Lines;
pub use span::Places;
pub use told::Count;
