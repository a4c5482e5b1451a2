//! One call: who makes it, and until when an answer is of use.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use super::write::LEADER_WAIT;
use crate::auth::{Caller, Role};

/// The part of a caller's own limit that is left for the answer's way back, and the most of it.
const WAY_BACK: u32 = 10;
const WAY_BACK_MAX: Duration = Duration::from_millis(100);

/// A call that is being answered.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its name, as the API has it.
    pub(crate) method: &'static str,
    /// Who makes it.
    pub(crate) caller: Arc<str>,
    /// When a write gives up: after the wait for a leader, or earlier by the caller's own limit.
    pub(crate) end: Instant,
    /// Whether that is the caller's own limit.
    pub(crate) hurried: bool,
}

impl Call {
    /// A call by whom the gate has let in, if he may make it.
    pub(crate) fn new(method: &'static str, needed: Role, metadata: &MetadataMap, extensions: &Extensions) -> Result<Self, Status> {
        // No route leads around the gate.
        let caller = extensions.get::<Caller>().ok_or_else(|| Status::unauthenticated("the caller was not recognised"))?;
        caller.may(method, needed)?;
        let own = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(timeout);
        let own = own.map(|own| own - (own / WAY_BACK).min(WAY_BACK_MAX)).filter(|own| *own < LEADER_WAIT);
        Ok(Call { method, caller: caller.name.clone(), end: Instant::now() + own.unwrap_or(LEADER_WAIT), hurried: own.is_some() })
    }
}

/// What gRPC writes of a limit: at most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(number).filter(|number| number.len() <= 8)?.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_grpc_writes_them() {
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
        for wrong in ["", "m", "5", "-5S", "123456789m", "5x", "é"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
