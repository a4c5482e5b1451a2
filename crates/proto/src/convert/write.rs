//! What every write may carry besides, and what some carry that no other message has.

use dynomesh_core::directory::Proof;
use dynomesh_core::directory::ask::check_key;
use dynomesh_core::time::Span;

use super::{FieldError, InField};
use crate::admin::v1 as wire;

/// Longest time that running requests may be given.
const CUT_MAX: Span = Span::from_secs(24 * 60 * 60);

/// What a caller demands of a write besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// The key under which it takes effect once.
    pub key: Option<String>,
    /// The version its subject must have.
    pub expect: Option<u64>,
}

/// The options of a write, checked.
pub fn demands(options: Option<wire::WriteOptions>) -> Result<Demands, FieldError> {
    let wire::WriteOptions { idempotency_key, expect_version } = options.unwrap_or_default();
    let key = Some(idempotency_key).filter(|key| !key.is_empty());
    key.as_deref().map_or(Ok(()), check_key).in_field("options.idempotency_key")?;
    Ok(Demands { key, expect: expect_version })
}

/// How long running requests may go on.
pub fn cut(deadline_ms: Option<u64>) -> Result<Option<Span>, FieldError> {
    let Some(span) = deadline_ms.map(Span::from_millis) else { return Ok(None) };
    if span > CUT_MAX {
        return Err(FieldError::new("deadline_ms", format!("{span} must be at most 24h")));
    }
    Ok(Some(span))
}

/// What stands for it that an evicted block cannot dispatch.
pub fn proof(value: i32) -> Result<Proof, FieldError> {
    match wire::Proof::try_from(value) {
        Ok(wire::Proof::Unspecified | wire::Proof::Operator) => Ok(Proof::Operator),
        Ok(wire::Proof::Platform) => Ok(Proof::Platform),
        Ok(wire::Proof::Agents) => Ok(Proof::Agents),
        Err(_) => Err(FieldError::new("proof", format!("{value} is not known here; must be one of OPERATOR, PLATFORM, AGENTS"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(key: &str) -> Option<wire::WriteOptions> {
        Some(wire::WriteOptions { idempotency_key: key.into(), expect_version: Some(3) })
    }

    #[test]
    fn options_left_out_demand_nothing() {
        assert_eq!(demands(None).unwrap(), Demands::default());
        assert_eq!(demands(with_key("")).unwrap(), Demands { key: None, expect: Some(3) });
        assert_eq!(demands(with_key("a-1")).unwrap(), Demands { key: Some("a-1".into()), expect: Some(3) });
    }

    #[test]
    fn what_no_write_may_carry_is_refused_with_the_field() {
        for key in ["a b", "\n", &"x".repeat(129)] {
            assert_eq!(demands(with_key(key)).unwrap_err().field, "options.idempotency_key");
        }
        assert_eq!(cut(Some(0)).unwrap(), Some(Span::ZERO));
        assert_eq!(cut(Some(u64::MAX)).unwrap_err().field, "deadline_ms");
        assert_eq!(proof(9).unwrap_err().field, "proof");
        assert_eq!(proof(0).unwrap(), Proof::Operator);
    }
}
