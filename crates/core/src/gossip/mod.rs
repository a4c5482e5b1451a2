//! How the map spreads: the gossip's protocol, without sockets, clocks or chance of its own.
//!
//! Each node publishes facts; all who want them hear of them. [`Spread`] is one node's part in that, [`wire`] is how its messages are
//! written. It asks little of the network: messages may be lost, repeated and reordered, which delays news and nothing else. It does
//! not seal messages and believes the sender's name; both are the transport's business (P20).

mod compare;
pub mod exchange;
mod item;
mod message;
mod peers;
mod rumour;
mod spread;
mod store;
#[cfg(test)]
mod tests;
mod topic;
mod watch;
pub mod wire;

pub use compare::ANSWER_LEN;
pub use exchange::Scope;
pub use item::{Content, Item, Member};
pub use message::{Age, Carried, Listed, Message};
pub use peers::NODES_MAX;
pub use rumour::{HOPS_MAX, MESSAGE_LEN};
pub use spread::{EXPIRY, Output, REFRESH, Refused, Settings, Spread};
pub use store::{ITEMS_MAX, LASTING_MAX};
pub use topic::{Interest, TOPIC_LEN_MAX, TOPICS_MAX, Topic, WANTED_MAX, count_pause, is_soft, lasting, load_pause, topics};
