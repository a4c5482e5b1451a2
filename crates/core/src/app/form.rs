//! How a policy is written: by names in facts and answers, by position in logs and snapshots.
//!
//! Where names are written a setting that was added later is left out while it has its default, so older programs read what they can
//! obey. Where positions are written there is no leaving out, and what follows a policy would be misread. So the settings that came later
//! stand inside the last one of the first version, as variants that version did not have: a policy that makes no use of them is written
//! as it always was, and one written before them is read with their defaults.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClientGone, DynoProtocol, Orphans, Policy, Probe, Serial};
use crate::time::Span;

#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Named {
    max_conns: u32,
    serial: Serial,
    orphans: Orphans,
    probe: Probe,
    queue_len: Option<u32>,
    queue_wait: Span,
    idempotency_key: bool,
    client_gone: ClientGone,
    #[serde(skip_serializing_if = "is_default")]
    keep_alive: Span,
    #[serde(skip_serializing_if = "is_default")]
    dyno_protocol: DynoProtocol,
}

#[derive(Serialize, Deserialize)]
struct Placed {
    max_conns: u32,
    serial: Serial,
    orphans: Orphans,
    probe: Probe,
    queue_len: Option<u32>,
    queue_wait: Span,
    idempotency_key: bool,
    last: Last,
}

/// What a dyno finishes for nobody or not, and with it what was added later.
#[derive(Serialize, Deserialize)]
enum Last {
    Finish,
    Cut,
    FinishAnd(Added),
    CutAnd(Added),
}

/// Settings since the first version; the next ones go into variants of their own.
#[derive(Serialize, Deserialize)]
struct Added {
    keep_alive: Span,
    dyno_protocol: DynoProtocol,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Named {
    fn default() -> Self {
        Policy::default().into()
    }
}

impl From<Policy> for Named {
    fn from(policy: Policy) -> Self {
        let Policy { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, client_gone, keep_alive, dyno_protocol } =
            policy;
        Named { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, client_gone, keep_alive, dyno_protocol }
    }
}

impl From<Named> for Policy {
    fn from(named: Named) -> Self {
        let Named { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, client_gone, keep_alive, dyno_protocol } =
            named;
        Policy { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, client_gone, keep_alive, dyno_protocol }
    }
}

impl From<Policy> for Placed {
    fn from(policy: Policy) -> Self {
        let Policy { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, .. } = policy;
        let added = Added { keep_alive: policy.keep_alive, dyno_protocol: policy.dyno_protocol };
        let none = is_default(&added.keep_alive) && is_default(&added.dyno_protocol);
        let last = match (policy.client_gone, none) {
            (ClientGone::Finish, true) => Last::Finish,
            (ClientGone::Cut, true) => Last::Cut,
            (ClientGone::Finish, false) => Last::FinishAnd(added),
            (ClientGone::Cut, false) => Last::CutAnd(added),
        };
        Placed { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, last }
    }
}

impl From<Placed> for Policy {
    fn from(placed: Placed) -> Self {
        let Placed { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, last } = placed;
        let (client_gone, added) = match last {
            Last::Finish => (ClientGone::Finish, None),
            Last::Cut => (ClientGone::Cut, None),
            Last::FinishAnd(added) => (ClientGone::Finish, Some(added)),
            Last::CutAnd(added) => (ClientGone::Cut, Some(added)),
        };
        let Added { keep_alive, dyno_protocol } = added.unwrap_or(Added { keep_alive: Span::ZERO, dyno_protocol: DynoProtocol::Http1 });
        Policy { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, client_gone, keep_alive, dyno_protocol }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => Named::from(self.clone()).serialize(serializer),
            false => Placed::from(self.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => Named::deserialize(deserializer).map(Into::into),
            false => Placed::deserialize(deserializer).map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy as the first version wrote it by position.
    #[derive(Serialize)]
    struct First {
        max_conns: u32,
        serial: Serial,
        orphans: Orphans,
        probe: Probe,
        queue_len: Option<u32>,
        queue_wait: Span,
        idempotency_key: bool,
        client_gone: ClientGone,
    }

    fn kept(client_gone: ClientGone) -> Policy {
        let keep_alive = Span::from_secs(4);
        Policy {
            max_conns: 7,
            probe: Probe::Get("/up".into()),
            client_gone,
            keep_alive,
            dyno_protocol: DynoProtocol::Http2,
            ..Policy::default()
        }
    }

    #[test]
    fn every_policy_comes_back_as_it_was_from_both_forms() {
        for policy in [Policy::default(), kept(ClientGone::Finish), kept(ClientGone::Cut)] {
            // What follows must be found where the policy ends.
            let followed = (policy.clone(), 77_u32);
            let bytes = postcard::to_stdvec(&followed).unwrap();
            assert_eq!(postcard::from_bytes::<(Policy, u32)>(&bytes).unwrap(), followed);
            let text = serde_json::to_string(&policy).unwrap();
            assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        }
    }

    #[test]
    fn what_the_first_version_wrote_by_position_is_read_and_written_still() {
        for client_gone in [ClientGone::Finish, ClientGone::Cut] {
            let Policy { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, .. } = Policy::default();
            let first = First { max_conns, serial, orphans, probe, queue_len, queue_wait, idempotency_key, client_gone };
            let old = postcard::to_stdvec(&first).unwrap();
            let policy = Policy { client_gone, ..Policy::default() };
            assert_eq!(postcard::from_bytes::<Policy>(&old).unwrap(), policy);
            assert_eq!(postcard::to_stdvec(&policy).unwrap(), old);
        }
    }

    #[test]
    fn by_name_what_is_missing_has_its_default_and_defaults_of_later_settings_are_not_written() {
        let policy = serde_json::from_str::<Policy>(r#"{"max_conns":3}"#).unwrap();
        assert_eq!(policy, Policy { max_conns: 3, ..Policy::default() });
        let text = serde_json::to_string(&policy).unwrap();
        assert!(!text.contains("keep_alive") && !text.contains("dyno_protocol"), "{text}");
    }
}
