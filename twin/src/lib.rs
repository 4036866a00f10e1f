//! Device twins: documents that merge.
