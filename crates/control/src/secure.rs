//! What the `[api]` section asks for, made ready: who is recognised, and the address under TLS.
//!
//! Files are read at the start, so that a wrong one is a refused start and not a refused caller. The server under TLS runs beside the
//! consensus thread, not on it: however many callers shake hands, no heartbeat waits for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use dynomesh_core::id::Address;
use dynomesh_runtime::config::ConfigError;
use dynomesh_runtime::grpc::{self, Tls};
use dynomesh_runtime::net;
use dynomesh_runtime::shutdown::Shutdown;
use tokio::task::JoinSet;

use crate::api::Front;
use crate::auth::{Guard, Tokens};
use crate::config::ApiSettings;
use crate::error::Error;

/// What is ready.
pub(crate) struct Secure {
    pub(crate) guard: Guard,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) tls: Option<Tls>,
}

/// Reads the files that `settings` name.
pub(crate) fn prepare(settings: &ApiSettings) -> Result<Secure, Error> {
    let tokens = settings.tokens_file.as_ref().map(|path| Tokens::read(path).map_err(|problem| wrong("api.tokens_file", problem)));
    let tokens = tokens.transpose()?;
    let guard = if settings.asks() { Guard::known(tokens.clone(), settings.roles.clone()) } else { Guard::open() };
    let tls = load_tls(settings)?;
    if tls.is_some() {
        let checked = load_tls(settings)?.map_or(Ok(()), grpc::check_tls);
        checked.map_err(|error| wrong("api.cert", format!("with `api.key` and `api.client_ca`: {}", chain(&error))))?;
    }
    Ok(Secure { guard, tokens, tls })
}

/// Serves callers under TLS, where that is wanted; where they connect.
pub(crate) fn serve(
    front: Front,
    tls: Option<Tls>,
    settings: &ApiSettings,
    stopping: Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>, Error> {
    let Some((tls, listen)) = tls.zip(settings.listen) else { return Ok(None) };
    let listener = net::listen(listen, "api.listen")?;
    let bound = listener.local_addr().map_err(|cause| Error::Thread { thread: "api", cause })?;
    let routes = front.routes(None).expect("the descriptions this program was built with can be read");
    tasks.spawn(async move {
        if let Err(error) = grpc::serve_tls(listener, tls, routes, stopping).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the server under TLS ended");
        }
    });
    Ok(Some(bound))
}

fn load_tls(settings: &ApiSettings) -> Result<Option<Tls>, Error> {
    let read = |key: &str, path: &Option<PathBuf>| path.as_ref().map(|path| load(key, path)).transpose();
    let Some((cert, key)) = read("api.cert", &settings.cert)?.zip(read("api.key", &settings.key)?) else { return Ok(None) };
    Ok(Some(Tls { cert, key, client_ca: read("api.client_ca", &settings.client_ca)? }))
}

fn load(key: &str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| wrong(key, format!("{}: {error}", path.display())))
}

fn wrong(key: &str, problem: impl std::fmt::Display) -> Error {
    Error::Config(ConfigError::setting(key, problem))
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An address that others can use: where a listener has every address of its machine, the one others know the machine by.
pub(crate) fn told(listener: SocketAddr, known: Address) -> Address {
    let ip = if listener.ip().is_unspecified() { known.socket().ip() } else { listener.ip() };
    let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listener.port().max(1));
    Address::new(SocketAddr::new(ip, listener.port())).or_else(|_| Address::new(here)).unwrap_or(known)
}
