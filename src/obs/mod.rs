//! Metric cells, histograms, the registry that sums shards, log lines.

pub mod cell;
pub mod cells;
pub mod exported;
mod figures;
mod forms;
pub mod histogram;
pub mod log;
pub mod names;
pub mod prometheus;
pub mod registry;
pub mod seen;
mod shared;
pub mod snapshot;
mod spread;

pub use cells::{Cells, HandshakeEnd, Settled, Shape, TargetLabels, Tokens, UpstreamFailure};
pub use exported::ExportCells;
pub use forms::Form;
pub use registry::{Aside, BudgetFigures, Registry, TokenFigures};
pub use seen::Seen;
pub use shared::SharedCells;
pub use snapshot::{Answered, ShardFigures, Snapshot};
