//! Rows and their readers: JSONL, JSON, CSV and Parquet, plain or compressed, in the shapes alignment uses.
