//! What an edge decides about one request: which block next, whether it may be tried again, whether a retry can be afforded.
//!
//! Everything here is a rule over values. What was sent and heard is for the daemons to know and to say truthfully: a verdict that
//! claims less than what happened is the one error these rules cannot make good.

pub mod abandon;
pub mod budget;
pub mod choose;
pub mod correct;
pub mod load;
mod method;
pub mod retry;
pub mod reuse;
pub mod verdict;

pub use abandon::{Hearing, may_abandon};
pub use budget::{Budget, BudgetSettings};
pub use choose::{BlockChoice, Candidate, Tier, choose, least_full};
pub use correct::{Correction, LeaderAt, correct};
pub use load::{RAMP, estimate, told_used};
pub use method::Class;
pub use retry::{Attempted, DYNO_ATTEMPTS_MAX, DYNO_ATTEMPTS_PER_BLOCK_MAX, Reason, Retry, RetryLimits, another_dyno, pause, retry};
pub use reuse::{Reached, Sending};
pub use verdict::{Mark, Verdict};
