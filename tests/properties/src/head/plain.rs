//! What the edge should make of a head, told once more by its text.

use std::net::Ipv6Addr;

use dynomesh_edge::passage::Way;
use dynomesh_runtime::http::headers::MESH_PREFIX;
use http::{HeaderMap, Version, request};

use crate::fields::{listed, plain};

/// Fields that the edge writes, or takes out whatever they say.
const OURS: [&str; 20] = [
    "host",
    "te",
    "via",
    "connection",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "content-length",
    "expect",
    "http2-settings",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
    "x-request-start",
    "x-request-id",
    "trailer",
    "max-forwards",
    "forwarded",
];

pub(super) fn is_ours_to_say(name: &str) -> bool {
    OURS.contains(&name) || (name == "sec-websocket-key") || name.starts_with(MESH_PREFIX)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) method: String,
    pub(super) target: String,
    /// `None` where HTTP/1.0 names none.
    pub(super) host: Option<String>,
    pub(super) name: String,
    pub(super) via: String,
    pub(super) switches: bool,
    /// Fields that are none of the edge's business, by name.
    pub(super) others: Vec<(String, Vec<u8>)>,
    /// Names that `Connection` lists.
    listed: Vec<String>,
    before: String,
}

impl Plain {
    /// What it should be, or why it should be refused.
    pub(super) fn read(head: &request::Parts) -> Result<Self, &'static str> {
        let fields = &head.headers;
        let method = head.method.as_str();
        let listed = words(fields, "connection");
        let switches = switches(head, &listed);
        if (method == "CONNECT" && !switches) || words(fields, "transfer-encoding").iter().any(|coding| coding != "chunked") {
            return Err("not supported");
        }
        let host = host(head)?;
        let target = target(head)?;
        let crumbs = fields.get_all("cookie").iter().count();
        if fields.iter().count() > 100 + crumbs.saturating_sub(1) {
            return Err("too many fields");
        }
        let lines = texts(fields, "via");
        let by = lines.iter().flat_map(|line| line.split(',')).filter_map(|passage| passage.split_whitespace().nth(1));
        if by.filter(|by| by.eq_ignore_ascii_case("dynomesh")).count() > 5 {
            return Err("it goes round");
        }
        let is_http2 = head.version == Version::HTTP_2;
        let length = fields.get("content-length").map(|length| String::from_utf8_lossy(length.as_bytes()).into_owned());
        if is_http2 && length.is_some_and(|length| length.is_empty() || !length.chars().all(|digit| digit.is_ascii_digit())) {
            return Err("no length");
        }
        if ["OPTIONS", "TRACE"].contains(&method) && forwards(fields) == Some(0) {
            return Err("the last hop");
        }
        if head.version != Version::HTTP_10 && words(fields, "expect").iter().any(|word| word != "100-continue") {
            return Err("it expects what nobody can do");
        }
        let number = match head.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2.0",
            _ => "1.1",
        };
        let mut others = plain(fields);
        others.retain(|(name, _)| !is_ours_to_say(name) && !listed.contains(name));
        if is_http2 {
            join_cookies(&mut others);
        }
        others.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Plain {
            method: if switches { "GET" } else { method }.to_owned(),
            name: name_of(host.as_deref().unwrap_or_default()),
            target,
            host,
            via: added(fields, &listed, "via", &format!("{number} dynomesh")),
            switches,
            others,
            before: added(fields, &listed, "x-forwarded-for", ""),
            listed,
        })
    }

    pub(super) fn forwarded_for(&self, way: &Way) -> String {
        format!("{}{}", self.before, way.client.ip())
    }

    /// What the client says under `name`, if it says it once, and not to the edge alone.
    pub(super) fn single(&self, came: &request::Parts, name: &str) -> Option<Vec<u8>> {
        let all = texts(&came.headers, name);
        let is_alone = came.headers.get_all(name).iter().count() == 1 && !self.listed.iter().any(|listed| listed == name);
        all.first().filter(|_| is_alone).map(|value| value.clone().into_bytes())
    }
}

/// Values in visible characters.
fn texts(fields: &HeaderMap, name: &str) -> Vec<String> {
    let visible = |value: &&[u8]| value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let values = fields.get_all(name).into_iter().map(|value| value.as_bytes()).filter(visible);
    values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn words(fields: &HeaderMap, name: &str) -> Vec<String> {
    fields.get_all(name).into_iter().flat_map(|value| listed(value.as_bytes())).collect()
}

/// A list on one line, with one more element; what is over 2,048 bytes is forgotten.
fn added(fields: &HeaderMap, listed: &[String], name: &str, element: &str) -> String {
    let mut lines = texts(fields, name);
    lines.retain(|line| !line.is_empty() && !listed.iter().any(|listed| listed == name));
    let list = lines.join(", ");
    if list.is_empty() || list.len() > 2048 { element.to_owned() } else { format!("{list}, {element}") }
}

fn switches(head: &request::Parts, listed: &[String]) -> bool {
    let protocol = head.extensions.get::<hyper::ext::Protocol>();
    match (head.version, head.method.as_str()) {
        (Version::HTTP_2, "CONNECT") => protocol.is_some_and(|protocol| protocol.as_str() == "websocket"),
        (Version::HTTP_11, "GET") => {
            let length = head.headers.get("content-length");
            let has_body = head.headers.contains_key("transfer-encoding") || length.is_some_and(|length| length.as_bytes() != b"0");
            let has = |words: &[String], word: &str| words.iter().any(|listed| listed == word);
            !has_body && has(listed, "upgrade") && has(&words(&head.headers, "upgrade"), "websocket")
        }
        _ => false,
    }
}

/// The one host, by what stands in the target and in `Host`.
fn host(head: &request::Parts) -> Result<Option<String>, &'static str> {
    let said: Vec<&[u8]> = head.headers.get_all("host").into_iter().map(|value| value.as_bytes()).collect();
    let uri = head.uri.to_string();
    let in_target = match head.version {
        // Not told by text: `*` may follow it.
        Version::HTTP_2 => head.uri.authority().map(ToString::to_string),
        _ => split_scheme(&uri).map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default().to_owned()),
    };
    if said.len() > 1 || said.iter().any(|said| !is_host(said)) {
        return Err("no clear host");
    }
    let said = said.first().map(|said| String::from_utf8_lossy(said).into_owned());
    match (in_target, said) {
        (Some(target), _) if !is_host(target.as_bytes()) => Err("no host in the target"),
        (Some(target), Some(said)) if head.version == Version::HTTP_2 && !said.eq_ignore_ascii_case(&target) => Err("two hosts"),
        (Some(_), None) if head.version == Version::HTTP_11 => Err("no host"),
        (Some(target), _) => Ok(Some(target)),
        // A bare authority.
        (None, _) if head.uri.authority().is_some() => Err("no target of a server"),
        (None, Some(said)) => Ok(Some(said)),
        (None, None) if head.version == Version::HTTP_10 => Ok(None),
        (None, None) => Err("no host"),
    }
}

fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    uri.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?']))
}

/// A name or an address in brackets, and a port.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (is_sound, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return false,
        Some(Some((address, port))) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+;=".contains(c)), port)
        }
    };
    let is_port = |port: &str| port.is_empty() || (port.chars().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok());
    is_sound && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Without port, and without the dot that may end a full name.
fn name_of(host: &str) -> String {
    let name = match host.find(']') {
        Some(end) => &host[..=end],
        None => &host[..host.find(':').unwrap_or(host.len())],
    };
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

/// Path and query, or `*`.
fn target(head: &request::Parts) -> Result<String, &'static str> {
    let uri = head.uri.to_string();
    let (is_options, is_http2) = (head.method.as_str() == "OPTIONS", head.version == Version::HTTP_2);
    let scheme = split_scheme(&uri).map(|(scheme, _)| scheme.to_ascii_lowercase());
    if scheme.as_ref().is_some_and(|scheme| !["http", "https"].contains(&scheme.as_str())) {
        return Err("another scheme");
    }
    let path = match split_scheme(&uri) {
        // What stands in `:path`, which as a text would run together with the authority.
        _ if is_http2 => head.uri.path_and_query().map_or("/", |path| path.as_str()),
        Some((_, rest)) => match &rest[rest.find(['/', '?']).unwrap_or(rest.len())..] {
            "" | "/" if is_options => "*",
            path => path,
        },
        None => uri.as_str(),
    };
    match path {
        path if !path.chars().all(|c| c.is_ascii_graphic()) => Err("what no request line may hold"),
        "*" if is_options => Ok("*".into()),
        "" => Ok("/".into()),
        path if path.starts_with('?') && !is_http2 => Ok(format!("/{path}")),
        path if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err("no path"),
    }
}

fn forwards(fields: &HeaderMap) -> Option<u64> {
    let all: Vec<_> = fields.get_all("max-forwards").iter().collect();
    let [one] = all[..] else { return None };
    one.to_str().ok()?.parse().ok()
}

/// All crumbs in one line, if they can be.
fn join_cookies(fields: &mut Vec<(String, Vec<u8>)>) {
    let crumbs: Vec<Vec<u8>> = fields.iter().filter(|(name, _)| name == "cookie").map(|(_, crumb)| crumb.clone()).collect();
    if crumbs.len() > 1 {
        fields.retain(|(name, _)| name != "cookie");
        fields.push(("cookie".into(), crumbs.join(&b"; "[..])));
    }
}
