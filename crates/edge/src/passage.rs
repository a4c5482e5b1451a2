//! The way of a request's head through an edge, without the edge around it: for whoever judges it from outside.

use std::net::SocketAddr;

use dynomesh_runtime::http::headers;
use http::{Method, StatusCode, request};
use rand::Rng;

use crate::forward::{Arrival, Manner};
use crate::inbound::Inbound;
use crate::routes::host_of;

/// How a request came, and how its edge is set up.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Who asks.
    pub client: SocketAddr,
    /// Where he connected to.
    pub local: SocketAddr,
    /// Whether he did so by TLS.
    pub is_tls: bool,
    /// Whether `Forwarded` is written.
    pub forwarded: bool,
    /// Whether clients are proxies whose word counts.
    pub trusted: bool,
}

/// A head that goes on.
#[derive(Debug)]
pub struct Passage {
    /// By what the app is looked up, in whatever case.
    pub name: String,
    /// The head as every attempt sends it, but for the words about the attempt and the framing of the body.
    pub head: request::Parts,
}

/// What becomes of a head: it goes on, or it is refused by this code and status.
pub fn pass(mut head: request::Parts, way: &Way, rng: &mut impl Rng) -> Result<Passage, (&'static str, StatusCode)> {
    let (client, ip) = (way.client, headers::value(way.client.ip()));
    let arrival = Arrival { client, ip, local: way.local, is_tls: way.is_tls, version: head.version, wall_ms: 1 };
    let inbound = Inbound::read(&head, rng);
    if let Some(fault) = inbound.refused {
        let (code, status, _) = fault.told();
        return Err((code, status));
    }
    let manner = Manner { forwarded: way.forwarded, trusted: way.trusted };
    let mut headers = inbound.forward(std::mem::take(&mut head.headers), &arrival, manner);
    if let Some(switch) = inbound.switch {
        switch.ask(&mut headers, rng);
        head.method = Method::GET;
    }
    head.headers = headers;
    head.uri = inbound.uri;
    Ok(Passage { name: inbound.host.as_deref().map(host_of).unwrap_or_default().to_owned(), head })
}
