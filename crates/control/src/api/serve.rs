//! The services on the control plane's gRPC address, and the limits of those that strangers call.
//!
//! The limits hold for all connections together, so one caller with many of them cannot take the control plane from the others; the
//! peers' service has none of them, since the group depends on it. At a limit a call is refused at once, never queued: every write may
//! be sent again.

use std::convert::Infallible;
use std::time::Duration;

use dynomesh_consensus::RaftServer;
use dynomesh_proto::FILE_DESCRIPTOR_SET;
use dynomesh_proto::admin::v1::admin_server::AdminServer;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::{LayerExt, Routes};
use tonic::{Code, Status};
use tonic_health::server::HealthReporter;
use tower::layer::layer_fn;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

use super::Api;
use super::write::LEADER_WAIT;
use crate::auth::{Guard, Role, gated};
use crate::directory::DirectoryMachine;
use crate::metrics::Metrics;
use crate::standing::{Standing, Watch};

/// Calls answered at once, over all connections.
const CALLS_MAX: usize = 256;
/// Longest call. Longer than the wait for a leader, so that a caller hears its reason first.
const CALL_MAX: Duration = LEADER_WAIT.saturating_add(Duration::from_secs(3));
/// Most bytes of one request: as many dynos as one call may add, each with the longest id and key there may be.
const REQUEST_LEN_MAX: usize = 640 * 1024;

/// What strangers call: one front, at one or two addresses.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) api: Api,
    pub(crate) guard: Guard,
}

impl Front {
    /// All services of an address; `peers` is added where the other replicas connect. Starts a task on the present runtime that
    /// tells health.
    pub(crate) fn routes(self, peers: Option<RaftServer<DirectoryMachine>>) -> Result<Routes, tonic_reflection::server::Error> {
        let Front { api, guard } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Most generic clients still ask by the older name.
        let (reflection, older_reflection) = (described().build_v1()?, described().build_v1alpha()?);
        tokio::spawn(tell_health(health, api.watch.clone()));

        let metrics = api.metrics.clone();
        let admin = AdminServer::new(api).max_decoding_message_size(REQUEST_LEN_MAX);
        let behind = |metrics: &Metrics| (guard.clone(), metrics.clone());
        let admin = layer_fn(|admin| {
            let (guard, metrics) = behind(&metrics);
            // Who is not recognised takes no place of those who are.
            gated(limited(admin, metrics.clone()), guard, Role::Read, metrics)
        })
        .named_layer(admin);
        let health_service = layer_fn(|service| {
            let (guard, metrics) = behind(&metrics);
            gated(service, guard, Role::Read, metrics)
        })
        .named_layer(health_service);
        let reflection = layer_fn(|service| {
            let (guard, metrics) = behind(&metrics);
            gated(service, guard, Role::Read, metrics)
        })
        .named_layer(reflection);
        let older_reflection = layer_fn(|service| {
            let (guard, metrics) = behind(&metrics);
            gated(service, guard, Role::Read, metrics)
        })
        .named_layer(older_reflection);
        let routes = peers.map_or_else(Routes::default, Routes::new);
        Ok(routes.add_service(admin).add_service(health_service).add_service(reflection).add_service(older_reflection))
    }
}

/// A service behind the limits. Cloned for every call, but the limits stay common.
fn limited<S>(
    service: S,
    metrics: Metrics,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync,
{
    let bounded = ServiceBuilder::new().load_shed().layer(GlobalConcurrencyLimitLayer::new(CALLS_MAX)).timeout(CALL_MAX).service(service);
    service_fn(move |request: Request<Body>| {
        let (mut bounded, metrics) = (bounded.clone(), metrics.clone());
        async move {
            let answered = async { ServiceExt::<Request<Body>>::ready(&mut bounded).await?.call(request).await };
            Ok(answered.await.unwrap_or_else(|error| refuse(error, &metrics)))
        }
    })
}

/// What a limit refused is told as a status, like everything else.
fn refuse(error: BoxError, metrics: &Metrics) -> Response<Body> {
    let status = if error.is::<tower::load_shed::error::Overloaded>() {
        Status::resource_exhausted(format!("nothing was written: {CALLS_MAX} calls are being answered already; send it again in a moment"))
    } else if error.is::<tower::timeout::error::Elapsed>() {
        Status::deadline_exceeded(format!("no answer within {}s; send it again, a repeated write does no harm", CALL_MAX.as_secs()))
    } else {
        Status::internal(error.to_string())
    };
    metrics.limited(status.code());
    status.into_http()
}

/// Tells health by the standing: a replica that has not caught up does not serve.
async fn tell_health(health: HealthReporter, mut watch: Watch) {
    loop {
        if matches!(watch.now(), Standing::Follows | Standing::Leads) {
            health.set_serving::<AdminServer<Api>>().await;
        } else {
            health.set_not_serving::<AdminServer<Api>>().await;
        }
        watch.changed().await;
    }
}

/// The name of a status code, as it is counted.
pub(crate) fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::InvalidArgument => "invalid_argument",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::FailedPrecondition => "failed_precondition",
        Code::ResourceExhausted => "resource_exhausted",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::Unavailable => "unavailable",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        _ => "internal",
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_runtime::clock::Clock;
    use dynomesh_runtime::telemetry::Registry;
    use futures::future::{FutureExt, join_all, pending};

    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(&Registry::new("control", "test"), Clock::system())
    }

    fn code(answer: Result<Response<Body>, Infallible>) -> Code {
        Status::from_header_map(answer.unwrap().headers()).unwrap().code()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_over_the_limit_is_refused_at_once_and_one_that_hangs_in_the_end() {
        let stuck = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
        let service = limited(stuck, metrics());
        let call = || service.clone().oneshot(Request::new(Body::empty()));
        let mut stuck: Vec<_> = (0..CALLS_MAX).map(|_| Box::pin(call())).collect();
        for call in &mut stuck {
            assert!(call.now_or_never().is_none());
        }
        assert_eq!(code(call().now_or_never().expect("a call over the limit waits")), Code::ResourceExhausted);

        let codes: Vec<Code> = join_all(stuck).await.into_iter().map(code).collect();
        assert!(codes.iter().all(|code| *code == Code::DeadlineExceeded), "{codes:?}");
        assert!(call().now_or_never().is_none(), "the place of a call that ended is not given back");
    }
}
