//! How a block spreads an app's requests over its dynos.
//!
//! The [`Ledger`] counts slots per dyno and picks the dyno with the fewest; the [`Queue`] holds what finds no room. Both are the memory
//! of one leader: what must outlive it is in the replicated state, from which a new leader fills its own ledger.

mod dyno;
mod floor;
mod health;
mod hold;
mod least_conn;
mod ledger;
mod queue;
mod slot;

pub use dyno::{Counts, DynoShape, DynoView};
pub use floor::Floor;
pub use health::{Probed, Standing};
pub use hold::Hold;
pub use least_conn::{Load, Ties};
pub use ledger::{Ledger, LedgerSettings};
pub use queue::{Full, Popped, Queue, QueueSettings};
pub use slot::{Ended, Occupied, Outcome, Place, SlotState};
