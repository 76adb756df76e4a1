//! Run directories, manifests, measurements, atomic files, limits, seeds and cancellation.
