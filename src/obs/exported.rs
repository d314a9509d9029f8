//! What became of traces. Each cell has one writer: `full` the journal's thread, the others the
//! exporter's.

use super::cell::Cell;

/// Counts of one exporter.
#[derive(Debug, Default)]
pub struct ExportCells {
    /// Spans that the collector took.
    pub spans: Cell,
    /// Spans that it refused, though it took others with them.
    pub rejected: Cell,
    /// Exchanges that were lost because the exporter's thread was behind.
    pub full: Cell,
    /// Those that were lost because too many waited for the collector.
    pub waiting_full: Cell,
    /// Those that the collector did not take.
    pub lost: Cell,
}
