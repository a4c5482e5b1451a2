//! Files, handshakes and what is served over them.

mod clients;
mod errors;
mod files;
mod kit;
mod served;
mod tiers;
