//! Tasks, metrics and statistics.
