//! Metric cells, histograms, the registry that sums shards, log lines.
