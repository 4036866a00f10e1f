//! WebAssembly functions on messages.
