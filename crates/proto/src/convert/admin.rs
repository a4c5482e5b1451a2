//! Requests of the admin API to core types, and core types to its answers.

use dynomesh_core::app::{AppSpec, ClientGone, DynoProtocol, Orphans, Phase, Policy, Probe, Serial, check_max_conns};
use dynomesh_core::id::{Address, AppName, BlockName, DynoId, Host, NodeName, Version};
use dynomesh_core::time::Span;

use super::{FieldError, InField};
use crate::admin::v1 as wire;

/// A dyno as a caller asks for it; what is `None` is filled in by the control plane and the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoWish {
    /// Its id.
    pub id: Option<DynoId>,
    /// The app it serves.
    pub app: AppName,
    /// Where it listens.
    pub address: Address,
    /// Requests it may have in flight.
    pub max_conns: Option<u32>,
    /// The block to own it.
    pub block: Option<BlockName>,
}

/// Which dynos a caller asks for; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DynoFilter {
    /// In this phase.
    pub phase: Option<wire::DynoPhase>,
    /// In this state.
    pub state: Option<wire::DynoState>,
    /// Of this app.
    pub app: Option<AppName>,
    /// Assigned to this block.
    pub block: Option<BlockName>,
    /// This one.
    pub id: Option<DynoId>,
}

/// The app a caller wants created, checked.
pub fn app_spec(request: wire::CreateAppRequest) -> Result<AppSpec, FieldError> {
    spec(&request.name, &request.hosts, request.policy)
}

/// The app a caller wants described anew, checked.
pub fn app_update(request: wire::UpdateAppRequest) -> Result<AppSpec, FieldError> {
    spec(&request.name, &request.hosts, request.policy)
}

fn spec(name: &str, hosts: &[String], wanted: Option<wire::Policy>) -> Result<AppSpec, FieldError> {
    let name = app_name("name", name)?;
    let hosts: Vec<Host> = hosts.iter().map(|host| Host::new(host).in_field("hosts")).collect::<Result<_, _>>()?;
    if let Some(twice) = hosts.iter().enumerate().find(|(at, host)| hosts[..*at].contains(host)).map(|(_, host)| host) {
        return Err(FieldError::new("hosts", format!("host {:?} is named twice; name it once", twice.as_str())));
    }
    let spec = AppSpec { name, hosts, policy: policy(wanted.unwrap_or_default())? };
    spec.check().map_err(|invalid| {
        let field = match invalid.what {
            "hosts" => "hosts",
            "probe path" => "policy.probe_path",
            "queue_len" => "policy.queue_len",
            "keep_alive" => "policy.keep_alive_ms",
            "max_conns" => "policy.max_conns",
            _ => "policy",
        };
        FieldError::new(field, invalid)
    })?;
    Ok(spec)
}

fn policy(wire: wire::Policy) -> Result<Policy, FieldError> {
    let default = Policy::default();
    let unknown = |field, value: i32, names: &str| FieldError::new(field, format!("{value} is not known here; must be one of {names}"));
    let serial = match wire::Serial::try_from(wire.serial) {
        Ok(wire::Serial::Unspecified) => default.serial,
        Ok(wire::Serial::Auto) => Serial::Auto,
        Ok(wire::Serial::Yes) => Serial::Yes,
        Ok(wire::Serial::No) => Serial::No,
        Err(_) => return Err(unknown("policy.serial", wire.serial, "AUTO, YES, NO")),
    };
    let orphans = match wire::Orphans::try_from(wire.orphans) {
        Ok(wire::Orphans::Unspecified) => default.orphans,
        Ok(wire::Orphans::Prompt) => Orphans::Prompt,
        Ok(wire::Orphans::Strict) => Orphans::Strict,
        Err(_) => return Err(unknown("policy.orphans", wire.orphans, "PROMPT, STRICT")),
    };
    let client_gone = match wire::ClientGone::try_from(wire.client_gone) {
        Ok(wire::ClientGone::Unspecified) => default.client_gone,
        Ok(wire::ClientGone::Finish) => ClientGone::Finish,
        Ok(wire::ClientGone::Cut) => ClientGone::Cut,
        Err(_) => return Err(unknown("policy.client_gone", wire.client_gone, "FINISH, CUT")),
    };
    let dyno_protocol = match wire::DynoProtocol::try_from(wire.dyno_protocol) {
        Ok(wire::DynoProtocol::Unspecified) => default.dyno_protocol,
        Ok(wire::DynoProtocol::Http1) => DynoProtocol::Http1,
        Ok(wire::DynoProtocol::Http2) => DynoProtocol::Http2,
        Err(_) => return Err(unknown("policy.dyno_protocol", wire.dyno_protocol, "HTTP1, HTTP2")),
    };
    Ok(Policy {
        max_conns: wire.max_conns.unwrap_or(default.max_conns),
        serial,
        orphans,
        probe: if wire.probe_path.is_empty() { Probe::Connect } else { Probe::Get(wire.probe_path) },
        queue_len: wire.queue_len,
        queue_wait: wire.queue_wait_ms.map_or(default.queue_wait, Span::from_millis),
        idempotency_key: wire.idempotency_key,
        client_gone,
        keep_alive: wire.keep_alive_ms.map_or(default.keep_alive, Span::from_millis),
        dyno_protocol,
    })
}

/// The dyno a caller wants added, checked.
pub fn dyno_wish(request: &wire::AddDynoRequest) -> Result<DynoWish, FieldError> {
    request.max_conns.map_or(Ok(()), check_max_conns).in_field("max_conns")?;
    Ok(DynoWish {
        id: given(&request.id, DynoId::new).in_field("id")?,
        app: app_name("app", &request.app)?,
        address: request.addr.parse().in_field("addr")?,
        max_conns: request.max_conns,
        block: given(&request.block, BlockName::new).in_field("block")?,
    })
}

/// The dynos a caller asks for, checked.
pub fn dyno_filter(request: &wire::ListDynosRequest) -> Result<DynoFilter, FieldError> {
    let unknown = |field: &'static str, value: i32| FieldError::new(field, format!("{value} is not known here"));
    let phase = wire::DynoPhase::try_from(request.phase).map_err(|_| unknown("phase", request.phase))?;
    let state = wire::DynoState::try_from(request.state).map_err(|_| unknown("state", request.state))?;
    Ok(DynoFilter {
        phase: Some(phase).filter(|phase| *phase != wire::DynoPhase::Unspecified),
        state: Some(state).filter(|state| *state != wire::DynoState::Unspecified),
        app: given(&request.app, AppName::new).in_field("app")?,
        block: given(&request.block, BlockName::new).in_field("block")?,
        id: given(&request.id, DynoId::new).in_field("id")?,
    })
}

/// An app's name in `field`.
pub fn app_name(field: &'static str, text: &str) -> Result<AppName, FieldError> {
    AppName::new(text).in_field(field)
}

/// A dyno's id in the field `id`.
pub fn dyno_id(text: &str) -> Result<DynoId, FieldError> {
    DynoId::new(text).in_field("id")
}

/// A block's name in `field`.
pub fn block_name(field: &'static str, text: &str) -> Result<BlockName, FieldError> {
    BlockName::new(text).in_field(field)
}

/// A process's name in the field `node`.
pub fn node_name(text: &str) -> Result<NodeName, FieldError> {
    NodeName::new(text).in_field("node")
}

/// The app a dyno is thought to be of, in the field `app`; empty means any.
pub fn app_thought(text: &str) -> Result<Option<AppName>, FieldError> {
    given(text, AppName::new).in_field("app")
}

/// Addresses in `field`: at least one, none twice.
pub fn addresses(field: &'static str, texts: &[String]) -> Result<Vec<Address>, FieldError> {
    let mut addresses = Vec::new();
    for (nth, text) in texts.iter().enumerate() {
        let address: Address = text.parse().map_err(|invalid| FieldError::new(format!("{field}[{nth}]"), invalid))?;
        if addresses.contains(&address) {
            return Err(FieldError::new(format!("{field}[{nth}]"), format!("{address} is named twice; name it once")));
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        return Err(FieldError::new(field, "names no address; name those of all replicas"));
    }
    Ok(addresses)
}

fn given<T, E>(text: &str, read: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, E> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

/// An app for an answer.
pub fn app(spec: &AppSpec, version: Version, dynos: u32) -> wire::App {
    let policy = &spec.policy;
    let mut wire_policy = wire::Policy {
        max_conns: Some(policy.max_conns),
        probe_path: match &policy.probe {
            Probe::Connect => String::new(),
            Probe::Get(path) => path.clone(),
        },
        queue_len: policy.queue_len,
        queue_wait_ms: Some(policy.queue_wait.as_millis()),
        idempotency_key: policy.idempotency_key,
        keep_alive_ms: Some(policy.keep_alive.as_millis()),
        ..wire::Policy::default()
    };
    wire_policy.set_serial(match policy.serial {
        Serial::Auto => wire::Serial::Auto,
        Serial::Yes => wire::Serial::Yes,
        Serial::No => wire::Serial::No,
    });
    wire_policy.set_orphans(match policy.orphans {
        Orphans::Prompt => wire::Orphans::Prompt,
        Orphans::Strict => wire::Orphans::Strict,
    });
    wire_policy.set_client_gone(match policy.client_gone {
        ClientGone::Finish => wire::ClientGone::Finish,
        ClientGone::Cut => wire::ClientGone::Cut,
    });
    wire_policy.set_dyno_protocol(match policy.dyno_protocol {
        DynoProtocol::Http1 => wire::DynoProtocol::Http1,
        DynoProtocol::Http2 => wire::DynoProtocol::Http2,
    });
    wire::App {
        name: spec.name.to_string(),
        hosts: spec.hosts.iter().map(Host::to_string).collect(),
        policy: Some(wire_policy),
        version: version.0,
        dynos,
    }
}

/// The phase an owner reports, for an answer.
pub fn phase(phase: Phase) -> wire::DynoPhase {
    match phase {
        Phase::Active => wire::DynoPhase::Active,
        Phase::Draining => wire::DynoPhase::Draining,
        Phase::Released => wire::DynoPhase::Released,
    }
}

/// Whether a dyno answers, for an answer.
pub fn state(up: Option<bool>) -> wire::DynoState {
    match up {
        None => wire::DynoState::Unspecified,
        Some(true) => wire::DynoState::Up,
        Some(false) => wire::DynoState::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> wire::CreateAppRequest {
        wire::CreateAppRequest { name: "shop".into(), hosts: vec!["shop.example".into(), "*".into()], policy: None, ..Default::default() }
    }

    #[test]
    fn an_app_without_policy_gets_every_default() {
        let spec = app_spec(request()).unwrap();
        assert_eq!(spec.policy, Policy::default());
        assert_eq!(spec.hosts.len(), 2);
    }

    #[test]
    fn a_policy_survives_the_way_out_and_back() {
        let policy = Policy {
            max_conns: 9,
            serial: Serial::No,
            orphans: Orphans::Strict,
            probe: Probe::Get("/health".into()),
            queue_len: Some(0),
            queue_wait: Span::from_millis(250),
            idempotency_key: true,
            client_gone: ClientGone::Cut,
            keep_alive: Span::from_millis(4_500),
            dyno_protocol: DynoProtocol::Http2,
        };
        let spec = AppSpec { policy, ..app_spec(request()).unwrap() };
        let wire = app(&spec, Version(3), 1);
        assert_eq!((wire.version, wire.dynos), (3, 1));
        let back = wire::CreateAppRequest { name: wire.name, hosts: wire.hosts, policy: wire.policy, ..Default::default() };
        assert_eq!(app_spec(back).unwrap(), spec);
    }

    #[test]
    fn a_refused_app_names_the_field() {
        let cases: [(&str, wire::CreateAppRequest); 11] = [
            ("name", wire::CreateAppRequest { name: "Shop".into(), ..request() }),
            ("hosts", wire::CreateAppRequest { hosts: vec![], ..request() }),
            ("hosts", wire::CreateAppRequest { hosts: vec!["a:80".into()], ..request() }),
            ("hosts", wire::CreateAppRequest { hosts: vec!["a".into(), "a".into()], ..request() }),
            ("policy.max_conns", with(wire::Policy { max_conns: Some(0), ..Default::default() })),
            ("policy.probe_path", with(wire::Policy { probe_path: "health".into(), ..Default::default() })),
            ("policy.queue_len", with(wire::Policy { queue_len: Some(u32::MAX), ..Default::default() })),
            ("policy.serial", with(wire::Policy { serial: 77, ..Default::default() })),
            ("policy.keep_alive_ms", with(wire::Policy { keep_alive_ms: Some(600_001), ..Default::default() })),
            ("policy.keep_alive_ms", with(wire::Policy { keep_alive_ms: Some(u64::MAX), ..Default::default() })),
            ("policy.dyno_protocol", with(wire::Policy { dyno_protocol: 3, ..Default::default() })),
        ];
        for (field, request) in cases {
            let error = app_spec(request).unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.to_string().starts_with(&format!("{field}: ")) && error.to_string().contains("must") || field == "hosts");
        }
    }

    fn with(policy: wire::Policy) -> wire::CreateAppRequest {
        wire::CreateAppRequest { policy: Some(policy), ..request() }
    }

    #[test]
    fn a_refused_dyno_names_the_field() {
        let good = wire::AddDynoRequest { app: "shop".into(), addr: "127.0.0.1:3000".into(), ..Default::default() };
        assert_eq!(dyno_wish(&good).unwrap().id, None);
        let cases = [
            ("app", wire::AddDynoRequest { app: String::new(), ..good.clone() }),
            ("addr", wire::AddDynoRequest { addr: "localhost:3000".into(), ..good.clone() }),
            ("addr", wire::AddDynoRequest { addr: "0.0.0.0:3000".into(), ..good.clone() }),
            ("id", wire::AddDynoRequest { id: "a b".into(), ..good.clone() }),
            ("max_conns", wire::AddDynoRequest { max_conns: Some(0), ..good.clone() }),
            ("block", wire::AddDynoRequest { block: "B1".into(), ..good.clone() }),
        ];
        for (field, request) in cases {
            assert_eq!(dyno_wish(&request).unwrap_err().field, field);
        }
    }
}
