//! Binary patches.
