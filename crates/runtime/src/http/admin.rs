//! The admin listener of a process: is it alive, can it do its job now, what has it counted.
//!
//! It has a thread of its own, so that `/healthz` says that the process lives and not how busy it is; readiness is whatever the
//! daemon says it is. Layers bound it: a scraper that comes too often is turned away, never queued.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dynomesh_core::time::Span;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::watch;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use super::serve::{ServeSettings, serve};
use crate::net::{NetError, listen};
use crate::shutdown::{Shutdown, Trigger, channel};
use crate::telemetry::Registry;
use crate::workers::Workers;

/// Requests answered at once; more are answered 503.
const CONCURRENCY_MAX: usize = 16;
/// Time for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Whether a process can do its job now, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it can.
    pub ready: bool,
    /// Why it cannot, or what it does; shown to whoever asks.
    pub reason: String,
}

impl Readiness {
    /// It can.
    pub fn ready() -> Self {
        Readiness { ready: true, reason: "ready".into() }
    }

    /// It cannot, because of `reason`.
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Readiness { ready: false, reason: reason.into() }
    }
}

/// A running admin listener; it ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    _stop: Trigger,
}

impl Admin {
    /// Listens on `address` (setting `admin`) on a thread of its own: `/healthz` is 200 while the process lives, `/readyz` is 200 or
    /// 503 as `ready` says at that moment, `/metrics` is what `registry` holds.
    pub fn serve(address: SocketAddr, registry: Registry, ready: watch::Receiver<Readiness>) -> Result<Self, NetError> {
        let listener = listen(address, "admin")?;
        let bound = listener.local_addr().unwrap_or(address);
        let (stop, stopped) = channel();
        let run = move |_, listener| {
            let (registry, ready, stopped) = (registry.clone(), ready.clone(), stopped.clone());
            async move { answer_all(listener, registry, ready, stopped).await }
        };
        Workers::start_each("admin", [listener], run).map_err(|cause| NetError::Listen { address, setting: "admin".into(), cause })?;
        Ok(Admin { address: bound, _stop: stop })
    }

    /// Where it listens, also if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn answer_all(listener: std::net::TcpListener, registry: Registry, ready: watch::Receiver<Readiness>, stopped: Shutdown) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener that was just opened can be watched");
    let answer = service_fn(move |request: Request<()>| {
        let ready = ready.borrow().clone();
        let response = answer(&request, &registry, &ready);
        async move { Ok::<_, Infallible>(response) }
    });
    let bounded = ServiceBuilder::new().load_shed().concurrency_limit(CONCURRENCY_MAX).timeout(ANSWER_MAX).service(answer);
    let settings = ServeSettings { connections_max: 64, linger: Span::ZERO, finish: Span::from_secs(1), ..Default::default() };
    let service = move |request: Request<hyper::body::Incoming>, _peer| {
        let mut bounded = bounded.clone();
        async move {
            // Requests here have no body worth reading.
            let answered = async { bounded.ready().await?.call(request.map(drop)).await };
            let refused = |error| text(StatusCode::SERVICE_UNAVAILABLE, format!("admin listener: {error}\n"));
            Ok::<_, Infallible>(answered.await.unwrap_or_else(refused))
        }
    };
    serve(listener, settings, stopped, service).await;
}

fn answer(request: &Request<()>, registry: &Registry, ready: &Readiness) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => {
            let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            text(status, format!("{}\n", ready.reason))
        }
        "/metrics" => {
            let mut response = text(StatusCode::OK, registry.encode());
            let open_metrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, open_metrics);
            response
        }
        _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn health_readiness_and_metrics_are_answered() {
        let (readiness, ready) = watch::channel(Readiness::not_ready("no leader yet"));
        let admin = Admin::serve((Ipv4Addr::LOCALHOST, 0).into(), Registry::new("block", "b1-1"), ready).unwrap();
        assert!(get(admin.address(), "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        let answer = get(admin.address(), "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("no leader yet\n"), "{answer}");
        readiness.send_replace(Readiness::ready());
        assert!(get(admin.address(), "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
        let answer = get(admin.address(), "/metrics");
        assert!(answer.contains("content-type: application/openmetrics-text") && answer.contains("node=\"b1-1\""), "{answer}");
        assert!(get(admin.address(), "/other").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn an_admin_address_in_use_names_its_setting() {
        let (_, ready) = watch::channel(Readiness::ready());
        let admin = Admin::serve((Ipv4Addr::LOCALHOST, 0).into(), Registry::new("edge", "e"), ready.clone()).unwrap();
        let error = Admin::serve(admin.address(), Registry::new("edge", "e"), ready).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is in use; change `admin`", admin.address()));
    }
}
