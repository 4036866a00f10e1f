//! What bounds the core in memory and in time, with many clients.

mod driver;
mod fan_out;
mod many_filters;
mod memory;
mod replay;
mod resend;
mod sweep;
