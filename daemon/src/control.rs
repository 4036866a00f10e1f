//! Commands that talk to a running node over its Unix socket, or change its files: `twin`, `fn`, `explain`, `net`, `status`, `user`, `cert`, `reload`; `store`, while none runs.

pub mod access_check;
pub mod access_files;
pub mod certificate;
pub mod explain;
pub mod function;
pub mod net;
pub mod node_client;
pub mod ota;
pub mod ota_publisher;
pub mod output;
pub mod password;
pub mod reload;
pub mod status;
pub mod store;
pub mod twin;
mod twin_group;
pub mod user;
