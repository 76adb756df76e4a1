//! Pinned snapshots of models and datasets from the Hugging Face hub, through its usual cache.
