//! Metric cells, histograms, the registry that sums shards, log lines.

pub mod cell;
pub mod cells;
mod figures;
pub mod histogram;
pub mod log;
pub mod names;
pub mod prometheus;
pub mod registry;

pub use cells::{Cells, HandshakeEnd, Settled, Shape, TargetLabels, Tokens, UpstreamFailure};
pub use registry::{Registry, TokenFigures};
