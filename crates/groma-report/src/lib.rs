//! One static HTML file per run, comparison of runs, and the same tables in a terminal.
