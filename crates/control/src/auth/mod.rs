//! Who calls, and what he may do.
//!
//! A caller shows a token or a client certificate and is a name and a role from then on. Where neither is configured everybody is an
//! administrator called `anonymous`, which is refused at start on any address but this machine's own. The peers' service asks for none of this: the
//! group depends on it, and its port belongs behind the same fence as the gossip's.

mod gate;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dynomesh_runtime::tls::certificate;
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

pub(crate) use gate::gated;
pub(crate) use tokens::Tokens;

/// What a caller may do; each role may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Read,
    /// Do what another call undoes.
    Operate,
    /// Everything.
    Admin,
}

/// A caller, recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
}

/// Recognises callers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<Rules>);

#[derive(Debug)]
enum Rules {
    /// Nothing is asked for.
    Open,
    /// A token of the file, or a certificate with one of these names.
    Known { tokens: Option<Tokens>, roles: BTreeMap<String, Role> },
}

impl Guard {
    /// Takes everybody for an administrator.
    pub(crate) fn open() -> Self {
        Guard(Arc::new(Rules::Open))
    }

    /// Knows holders of these tokens, and of verified certificates with these names.
    pub(crate) fn known(tokens: Option<Tokens>, roles: BTreeMap<String, Role>) -> Self {
        Guard(Arc::new(Rules::Known { tokens, roles }))
    }

    /// Who this is; `certificate` is the caller's own, verified by TLS.
    pub(crate) fn recognise(&self, headers: &HeaderMap, certificate: Option<&[u8]>) -> Result<Caller, Status> {
        let (tokens, roles) = match &*self.0 {
            Rules::Open => return Ok(Caller { name: "anonymous".into(), role: Role::Admin }),
            Rules::Known { tokens, roles } => (tokens, roles),
        };
        match (bearer(headers)?, certificate) {
            (Some(token), _) => {
                let known = tokens.as_ref().and_then(|tokens| tokens.find(token));
                known.ok_or_else(|| Status::unauthenticated("the token is not known to this control plane; was it changed or misspelt?"))
            }
            (None, Some(certificate)) => by_certificate(certificate, roles),
            (None, None) => Err(missing(tokens.is_some(), !roles.is_empty())),
        }
    }
}

/// The token that a caller shows, if any.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let Some(value) = headers.get("authorization") else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token
        .map(|(_, token)| Some(token.trim()))
        .ok_or_else(|| Status::unauthenticated("authorization: must be `Bearer TOKEN`; other schemes are not known here"))
}

fn by_certificate(certificate: &[u8], roles: &BTreeMap<String, Role>) -> Result<Caller, Status> {
    let names = certificate::names(certificate);
    let best = names.iter().filter_map(|name| roles.get_key_value(name)).max_by_key(|(_, role)| **role);
    let (name, role) = best.ok_or_else(|| {
        let names = if names.is_empty() { "no name".into() } else { names.join(", ") };
        Status::unauthenticated(format!("the client certificate is for {names}, and `api.roles` gives none of these a role"))
    })?;
    Ok(Caller { name: name.as_str().into(), role: *role })
}

fn missing(tokens: bool, certificates: bool) -> Status {
    Status::unauthenticated(match (tokens, certificates) {
        (true, true) => "this call takes a token (metadata `authorization: Bearer TOKEN`) or a client certificate on the TLS address",
        (false, true) => "this call takes a client certificate, on the control plane's TLS address",
        _ => "this call takes a token: metadata `authorization: Bearer TOKEN`",
    })
}

impl Caller {
    /// Refuses what the caller's role does not cover.
    pub(crate) fn may(&self, method: &str, needed: Role) -> Result<(), Status> {
        if self.role >= needed {
            return Ok(());
        }
        Err(Status::permission_denied(format!("{method} takes the role {needed}; {} has the role {}", self.name, self.role)))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Role::Read),
            "operate" => Ok(Role::Operate),
            "admin" => Ok(Role::Admin),
            other => Err(format!("{other:?} is no role; must be read, operate or admin")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_role_covers_those_before_it() {
        let caller = |role| Caller { name: "ann".into(), role };
        for (has, needed, may) in [
            (Role::Read, Role::Read, true),
            (Role::Read, Role::Operate, false),
            (Role::Operate, Role::Admin, false),
            (Role::Admin, Role::Operate, true),
        ] {
            assert_eq!(caller(has).may("MoveDyno", needed).is_ok(), may, "{has} for {needed}");
        }
        let status = caller(Role::Read).may("MoveDyno", Role::Operate).unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(status.message(), "MoveDyno takes the role operate; ann has the role read");
    }

    #[test]
    fn who_shows_nothing_hears_what_is_missing() {
        let tokens = Tokens::parse("admin ann 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08").unwrap();
        let guard = Guard::known(Some(tokens), BTreeMap::new());
        let mut headers = HeaderMap::new();
        let said = |headers: &HeaderMap| guard.recognise(headers, None).map_err(|status| status.message().to_owned());
        assert!(said(&headers).unwrap_err().contains("Bearer TOKEN"));
        headers.insert("authorization", "Basic abc".parse().unwrap());
        assert!(said(&headers).unwrap_err().contains("other schemes"));
        headers.insert("authorization", "Bearer wrong".parse().unwrap());
        assert!(said(&headers).unwrap_err().contains("not known"));
        headers.insert("authorization", "bearer test".parse().unwrap());
        assert_eq!(&*said(&headers).unwrap().name, "ann");
    }
}
