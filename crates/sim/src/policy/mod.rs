//! The rivals: other ways to route over the same dynos, so that the mesh is measured against the field and not against itself.
//!
//! All of them stand in the same world. Edges choose one of `blocks` routers by chance and try up to `rival_tries` times; routers fail
//! and are reached through a cable like the leaders of the mesh, and try up to `rival_tries` dynos; all routers share all dynos. Only
//! how a router chooses a dyno differs, and that is one file each. A rival knows nothing of a cap unless its paper does: requests queue
//! at the dyno, whose book counts how often more were sent than it works on.
//!
//! Dynos that fail fast are a trap for whoever looks for idle ones. So each rival that keeps or is told counts gets the error hold of
//! the mesh, by the same setting: a failed request stays counted by the router that saw it. Random and round robin have no counts and
//! so no trap. With `hold = "0s"` the comparison is the papers' own, whose dynos never fail.
//!
//! Each file names its paper, and its test reproduces a figure that was published or follows from theory, without faults and cables,
//! before it is compared to anything.

mod counts;
mod fleet;
mod ideal;
mod join_idle;
mod least_conn;
mod prequal;
mod random;
mod reports;
mod round_robin;
mod store;
mod two_choices;

#[cfg(test)]
mod bare;

pub use fleet::Fleet;
pub use ideal::ideal;
pub use join_idle::join_idle;
pub use least_conn::local_least_conn;
pub use prequal::prequal;
pub use random::random;
pub use reports::reports;
pub use round_robin::round_robin;
pub use store::store;
pub use two_choices::{Sight, two_choices};
