//! The gate before the services that strangers call: whoever is not recognised goes no further.

use std::convert::Infallible;

use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Service, ServiceExt, service_fn};

use super::{Guard, Role};
use crate::metrics::Metrics;

/// A service behind the gate. Who is let in stands in the request's extensions as a [`Caller`](super::Caller); who has not at least the
/// role `needed` is not.
pub(crate) fn gated<S>(
    service: S,
    guard: Guard,
    needed: Role,
    metrics: Metrics,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync,
{
    service_fn(move |mut request: Request<Body>| {
        let (service, guard, metrics) = (service.clone(), guard.clone(), metrics.clone());
        async move {
            let certificates = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>().and_then(TlsConnectInfo::peer_certs);
            let certificate = certificates.as_deref().and_then(|chain| chain.first()).map(AsRef::as_ref);
            let known = guard.recognise(request.headers(), certificate);
            match known.and_then(|caller| caller.may(request.uri().path(), needed).map(|()| caller)) {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    service.oneshot(request).await
                }
                Err(status) => {
                    metrics.limited(status.code());
                    tracing::debug!(path = request.uri().path(), code = ?status.code(), message = status.message(), "caller refused");
                    Ok(status.into_http())
                }
            }
        }
    })
}
