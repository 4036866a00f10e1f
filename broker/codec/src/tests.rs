//! Tests over all packets at once; those of one packet are in its file.

mod damage;
mod differential;
mod round_trip;
