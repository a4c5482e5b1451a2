//! Waits until a committed write has its effect, and shows on stderr what is still missing.
//!
//! The directory commits a wish; a block fulfils it. So the wait polls what the mesh reports. A control replica that cannot answer for
//! a moment, or dies, is part of the wait, not its end: the write is committed.

use std::time::{Duration, Instant};

use dynomesh_core::time::Span;

use crate::error::CliError;

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(100);
/// How long it must look as if the wish was taken back before that is believed: a replica that lags has not heard of the wish.
const LAG_MAX: Duration = Duration::from_secs(1);

/// How far an effect is.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress<T> {
    /// There, and how things stand now.
    Done(T),
    /// What is missing.
    Missing(String),
    /// It will not come: somebody else undid it.
    Never(String),
}

/// Looks until the effect is there, for `limit` at most.
pub(crate) async fn until<T>(limit: Span, mut look: impl AsyncFnMut() -> Result<Progress<T>, CliError>) -> Result<T, CliError> {
    let start = Instant::now();
    let (mut shown, mut never) = (String::new(), None);
    loop {
        let missing = match look().await {
            Ok(Progress::Done(now)) => return Ok(now),
            Ok(Progress::Never(what)) if never.get_or_insert_with(Instant::now).elapsed() >= LAG_MAX => {
                return Err(CliError::Refused(format!("committed, but {what}")));
            }
            Ok(Progress::Never(what)) => what,
            Ok(Progress::Missing(what)) => {
                never = None;
                what
            }
            Err(error @ (CliError::Unreachable { .. } | CliError::Unavailable { .. })) => error.to_string(),
            Err(error) => return Err(error),
        };
        if start.elapsed() >= limit.to_std() {
            return Err(CliError::NotYet { waited: limit, what: missing });
        }
        if missing != shown && never.is_none() {
            eprintln!("{missing}; waiting");
            shown = missing;
        }
        tokio::time::sleep(POLL.min(limit.to_std().saturating_sub(start.elapsed()))).await;
    }
}
