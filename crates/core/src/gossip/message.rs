//! What nodes say to each other.

use std::sync::Arc;

use super::exchange::{Range, Scope, Sums};
use super::item::Item;
use crate::id::NodeName;

/// Seconds since a publisher said that an item stands.
pub type Age = u32;

/// An item under way.
#[derive(Debug, Clone)]
pub struct Carried {
    /// The item.
    pub item: Arc<Item>,
    /// How old it is.
    pub age: Age,
    /// How many nodes have handed it on; at [`super::HOPS_MAX`] it is not handed on.
    pub hops: u8,
}

/// Ids and hashes of what a node has within a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The range.
    pub range: Range,
    /// All of it, by (id, hash).
    pub items: Vec<(u64, u64)>,
}

/// One message, one datagram.
#[derive(Debug, Clone)]
pub enum Message {
    /// A node says who it is, to one that does not know it.
    Hello {
        /// Its word about itself.
        item: Carried,
        /// Whether it wants to be told the same.
        answer: bool,
    },
    /// Opens a comparison, and asks for a sign of life. Answered by [`Message::Sums`] per scope that differs, else by [`Message::Same`].
    Summary {
        /// The sum of all that is shared, per scope.
        roots: Vec<(Scope, u64)>,
    },
    /// Nothing differs.
    Same,
    /// The sums of a range. Answered by the same for parts of it, or by lists.
    Sums {
        /// Of what.
        scope: Scope,
        /// Of which ids.
        range: Range,
        /// One per part.
        sums: Box<Sums>,
    },
    /// What the sender has, to be completed on both sides. Answered by [`Message::Push`] and [`Message::Want`].
    Lists {
        /// Of what.
        scope: Scope,
        /// At most [`super::exchange::IDS_MAX`] ids together.
        lists: Vec<Listed>,
    },
    /// Asks for items.
    Want {
        /// Their ids.
        ids: Vec<u64>,
    },
    /// Hands items on.
    Push {
        /// The items.
        items: Vec<Carried>,
        /// Where there are more, of which scope: compare again.
        more: Option<Scope>,
    },
    /// Asks for a sign of life of a third node.
    Ask {
        /// Which.
        node: NodeName,
    },
    /// The third node was heard just now.
    Heard {
        /// Which.
        node: NodeName,
    },
}
