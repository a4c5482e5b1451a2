//! The protocol explored: every state that small instances of it can reach, driving the types and functions that production runs.
//!
//! [`ownership`] is the directory, blocks and dynos with admin commands, moves, evictions and requests. [`slots`] is one block whose
//! replicas freeze, wake, die and take over, and what its dyno runs meanwhile. Both ask of every state what must hold there, and
//! a failure tells the shortest way to it.
//!
//! Why an explorer of our own and not `stateright`, which was looked at first: what must hold *in the end* is asked here by healing each
//! state that is reached and looking where that ends, while its `eventually` is documented to miss cycles and joined paths, which
//! is what such a graph is made of. Beyond that a breadth-first search is a page, and its tree of crates (a web server, a hash map,
//! a random number generator of another version) would come with the tests of the one crate that is meant to depend on nothing.

mod explore;
mod ownership;
mod part;
mod slots;
