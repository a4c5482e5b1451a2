//! One served connection, from its first byte to how it ends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use dynomesh_core::http1::{Limits, Violation};
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::farewell::{discard, refusal};
use super::line::{Busy, Line, Order};
use super::peer::{Handed, Peer, Wanted};
use super::spoken::{Spoken, begin};
use super::tracked::Tracked;
use super::watched::Watched;
use super::{BoxError, Refused, Server};
use crate::http::strict::Strict;
use crate::http::tunnel::Tunnel;
use crate::net::Stream;

/// Fields of a head that hyper takes unless it is told otherwise.
const HYPER_FIELDS: usize = 100;

/// Bytes of a head for which hyper has room beyond its limit.
const HEAD_SPARE: usize = 4096;

/// How a connection ended.
enum End {
    /// In order: the last answer is on its way.
    Clean,
    /// In the middle of an answer: it must not look whole.
    Broken,
    /// Outside of an answer, by our word.
    Cut,
    /// Not at all: nothing has come for a while.
    Resting,
    /// In order, but for what the client sent then: that is still to be answered.
    Refused(Violation),
    /// Somebody takes it over.
    Handed(oneshot::Sender<Tunnel>),
}

pub(super) async fn run<S, F, B, E>(server: &Rc<Server>, line: Rc<Line>, stream: TcpStream, address: SocketAddr, service: S)
where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + 'static,
    F: Future<Output = Result<Response<B>, E>> + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError> + 'static,
{
    // Refused only where the connection is gone already.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let Ok(Ok((stream, spoken))) = line.until_cut(begin(server, stream)).await else { return };
    let wanted = Rc::new(Wanted::default());
    let peer = Peer::new(address, local, matches!(stream, Stream::Tls(_)), wanted.clone());
    // A future that another one holds to await it later lies there twice, and hyper moves the outermost for every request: so each
    // is made where it is awaited.
    let answer = {
        let (line, server) = (line.clone(), server.clone());
        move |mut request: Request<Incoming>| {
            let busy = Busy::new(line.clone(), server.clone());
            let version = request.version();
            let peer = {
                let (line, server) = (line.clone(), server.clone());
                peer.of(&mut request, move || Busy::new(line.clone(), server.clone()))
            };
            let service = service.clone();
            async move {
                let mut response = service(request, peer).await.map_err(Into::<BoxError>::into)?;
                let goes_on = version == Version::HTTP_2 || response.status() == StatusCode::SWITCHING_PROTOCOLS;
                if !goes_on && busy.is_last() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                busy.line().answers();
                Ok::<_, BoxError>(response.map(|body| Tracked { body, busy, running: None, broken: None }))
            }
        }
    };
    match spoken {
        Spoken::Http1(early) => {
            serve_http1(server, address, line.clone(), Watched::new(early, stream, line, server.clone()), wanted, answer).await
        }
        Spoken::Http2(early) => {
            serve_http2(server, &line, Watched::new(early, stream, line.clone(), server.clone()).with_flood_watch(), answer).await
        }
    }
}

async fn serve_http1<A, F, B>(server: &Rc<Server>, address: SocketAddr, line: Rc<Line>, watched: Watched, wanted: Rc<Wanted>, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone,
    F: Future<Output = Result<Response<Tracked<B>>, BoxError>> + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let settings = &server.settings;
    let (mut strict, verdict) =
        Strict::server(watched, Limits { head_max: settings.head_max, fields_max: settings.fields_max, ..Limits::default() });
    let judged = |request: Request<Incoming>| {
        let is_connect = request.method() == Method::CONNECT;
        let running = verdict.run();
        let (verdict, answer) = (verdict.clone(), answer.clone());
        // In a box: hyper keeps room for it as long as the connection lives, and an idle one shall cost little.
        Box::pin(async move {
            let mut response = answer(request).await?;
            running.begin();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS || (is_connect && response.status().is_success()) {
                verdict.opaque();
            }
            response.body_mut().running = Some(running);
            Ok::<_, BoxError>(response)
        })
    };
    let mut builder = http1::Builder::new();
    // What it has room for anyway costs nothing.
    if settings.fields_max > HYPER_FIELDS {
        builder.max_headers(settings.fields_max);
    }
    builder
        .half_close(false)
        .auto_date_header(settings.date)
        // A little more than the strict reading allows, which is to be the one that refuses.
        .max_header_size(settings.head_max + HEAD_SPARE)
        .max_buf_size(settings.buffer_max.max(settings.head_max + HEAD_SPARE).max(8192))
        .header_read_timeout(None);
    let (end, strict, read) = loop {
        let mut connection = builder.serve_connection(TokioIo::new(strict), service_fn(&judged));
        let mut told = false;
        let end = poll_fn(|cx| {
            line.watch(cx);
            match line.ordered() {
                Order::Cut if line.is_answering() => return Poll::Ready(End::Broken),
                Order::Cut => return Poll::Ready(End::Cut),
                Order::Finish if !told => {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Order::Finish | Order::Serve => {}
            }
            Poll::Ready(match Pin::new(&mut connection).poll(cx) {
                Poll::Pending if line.may_rest(server.rest_before()) && verdict.is_at_rest() => End::Resting,
                Poll::Pending => return Poll::Pending,
                // A failed service or body, or a body that ended early.
                Poll::Ready(Err(error)) if error.is_user() || error.is_body_write_aborted() => End::Broken,
                Poll::Ready(Err(_)) => End::Clean,
                Poll::Ready(Ok(())) => wanted.take().map_or(End::Clean, End::Handed),
            })
        });
        let end = end.await;
        let http1::Parts { io, read_buf, .. } = connection.into_parts();
        strict = io.into_inner();
        if !matches!(end, End::Resting) {
            break (end, strict, read_buf);
        }
        // Empty, but with all its room.
        drop(read_buf);
        match line.rest().await {
            Order::Serve => {}
            Order::Finish => break (End::Clean, strict, Bytes::new()),
            Order::Cut => break (End::Cut, strict, Bytes::new()),
        }
    };
    let watched = strict.into_inner();
    if let (Some(violation), Some(Refused(hear))) = (verdict.violation(), &settings.refused) {
        hear(address, violation);
    }
    let end = match (end, verdict.violation(), verdict.answer()) {
        (End::Clean | End::Broken, _, Some(violation)) => End::Refused(violation),
        // The first bytes for who takes it over were sent too early, and judged as a request.
        (End::Handed(_), Some(_), _) => End::Broken,
        (end, ..) => end,
    };
    match end {
        End::Clean => discard(watched.into_stream(), &[]).await,
        End::Refused(violation) => discard(watched.into_stream(), refusal(violation).as_bytes()).await,
        End::Broken => watched.into_stream().reset(),
        End::Cut | End::Resting => drop(watched),
        End::Handed(taker) => {
            let (handed, ended) = Handed::new(watched.switched(read), Busy::new(line, server.clone()));
            if taker.send(Box::new(handed)).is_ok() {
                let _ = ended.await;
            }
        }
    }
}

async fn serve_http2<A, F, B>(server: &Rc<Server>, line: &Rc<Line>, watched: Watched, answer: A)
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<Tracked<B>>, BoxError>> + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let Some(limits) = &server.settings.http2 else { return };
    line.speaks_http2(server.tick.get());
    let head_max = u32::try_from(server.settings.head_max).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(Local)
        .auto_date_header(server.settings.date)
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_send_buf_size(server.settings.buffer_max)
        .max_header_list_size(head_max)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(watched), service_fn(answer));
    let mut connection = pin!(connection);
    let mut told = server.is_closing();
    if told {
        connection.as_mut().graceful_shutdown();
    }
    // A stream whose body breaks off is reset by hyper; the connection goes on.
    poll_fn(|cx| {
        line.watch(cx);
        match line.ordered() {
            Order::Cut => return Poll::Ready(()),
            Order::Finish if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Finish | Order::Serve => {}
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Runs what hyper starts for HTTP/2 on this thread.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
