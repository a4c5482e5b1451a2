//! Waits until a committed write has its effect, and shows on stderr what is still missing.
//!
//! The directory commits a wish; a block fulfils it. So the wait polls what the block reports. A control plane that cannot answer for a
//! moment is part of the wait, not its end: the write is committed.

use std::time::{Duration, Instant};

use dynomesh_core::time::Span;
use dynomesh_proto::admin::v1 as wire;

use crate::client::Client;
use crate::dyno::{phase_word, state_word};
use crate::error::CliError;

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(100);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The dyno takes requests and answers.
    Serves,
    /// The dyno takes nothing new and nothing runs there.
    Idle,
    /// The dyno is released and forgotten.
    Gone,
}

/// How far an effect is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There.
    Done,
    /// What is missing.
    Missing(String),
    /// It will not come: somebody else undid it.
    Never(String),
}

impl Effect {
    /// How far the effect is on a dyno that is listed so, or not at all.
    pub(crate) fn progress(self, id: &str, dyno: Option<&wire::Dyno>) -> Progress {
        use wire::DynoPhase::{Draining, Pending, Removing};
        let Some(dyno) = dyno else {
            return match self {
                Effect::Gone => Progress::Done,
                Effect::Serves | Effect::Idle => Progress::Never(format!("dyno {id} was removed meanwhile")),
            };
        };
        let now = format!("dyno {id} is {}", phase_word(dyno.phase()));
        let adopted = dyno.owner == dyno.block && dyno.owned_epoch >= dyno.epoch;
        match self {
            Effect::Gone => Progress::Missing(format!("{now}, {} in flight", dyno.in_flight)),
            _ if dyno.phase() == Removing => Progress::Never(format!("dyno {id} was removed meanwhile")),
            Effect::Serves if dyno.drain => Progress::Never(format!("dyno {id} is to be drained")),
            Effect::Idle if dyno.block.is_empty() && dyno.drain => Progress::Done,
            _ if dyno.block.is_empty() => Progress::Missing(format!("{now}: no block is known yet")),
            _ if dyno.phase() == Pending || !adopted => Progress::Missing(format!("{now}: not yet adopted by {}", dyno.block)),
            Effect::Serves if dyno.state() != wire::DynoState::Up => {
                Progress::Missing(format!("{now} in {} and {} at {}", dyno.block, state_word(dyno.state()), dyno.addr))
            }
            Effect::Serves => Progress::Done,
            Effect::Idle if dyno.phase() == Draining && dyno.in_flight == 0 => Progress::Done,
            Effect::Idle => Progress::Missing(format!("{now}, {} in flight", dyno.in_flight)),
        }
    }
}

/// Polls until the effect is there; the dyno as it then stands, if it is still listed.
pub(crate) async fn until(client: &Client, id: &str, effect: Effect, timeout: Span) -> Result<Option<wire::Dyno>, CliError> {
    let start = Instant::now();
    let mut shown = String::new();
    loop {
        let missing = match client.dyno(id).await {
            Ok(dyno) => match effect.progress(id, dyno.as_ref()) {
                Progress::Done => return Ok(dyno),
                Progress::Never(what) => return Err(CliError::Refused(format!("committed, but {what}"))),
                Progress::Missing(what) => what,
            },
            Err(error @ (CliError::Unreachable { .. } | CliError::Unavailable { .. })) => error.to_string(),
            Err(error) => return Err(error),
        };
        if start.elapsed() >= timeout.to_std() {
            return Err(CliError::NotYet { waited: timeout, what: missing });
        }
        if missing != shown {
            eprintln!("{missing}; waiting");
            shown = missing;
        }
        tokio::time::sleep(POLL.min(timeout.to_std().saturating_sub(start.elapsed()))).await;
    }
}
