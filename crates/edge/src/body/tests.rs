//! What is withheld, replayed and streamed.

use std::collections::VecDeque;
use std::convert::Infallible;

use dynomesh_core::time::Span;
use dynomesh_runtime::http::headers;
use futures::StreamExt;
use http::HeaderMap;
use http_body_util::{Empty, Full, StreamBody};

use super::*;

type Frames = StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn frames(pieces: &[&'static str]) -> Frames {
    let frames: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
    StreamBody::new(futures::stream::iter(frames))
}

/// A limit of silence that no test reaches.
const PATIENT: Option<Span> = Some(Span::from_secs(60));

async fn gather<B>(body: B, framed: bool, limit: usize) -> Result<Upload<B>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    Upload::gather(Arriving::new(body, PATIENT, Rc::default()), framed, false, limit).await
}

/// Reads all an attempt hands out.
async fn read<B>(mut body: AttemptBody<B>) -> Result<String, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
    Ok(text)
}

#[tokio::test]
async fn a_small_body_is_replayed_as_often_as_needed() {
    let upload = gather(frames(&["one ", "two ", "three"]), true, 64).await.unwrap();
    assert_eq!(upload.length(), Length::Chunked);
    for _ in 0..3 {
        let (body, gate) = upload.attempt(false);
        assert_eq!(read(body).await.unwrap(), "one two three");
        assert!(gate.ended());
        assert!(upload.replayable());
    }
}

#[tokio::test]
async fn a_large_body_is_replayable_until_it_is_drawn_past_the_prefix() {
    let piece: &'static str = "x".repeat(2000).leak();
    let upload = gather(frames(&[piece; 5]), true, 4000).await.unwrap();
    let (mut body, gate) = upload.attempt(false);
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    assert!(gate.withdraw(), "two frames were handed out");
    assert!(upload.replayable());
    let (mut body, _) = upload.attempt(false);
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
    }
    assert!(!upload.replayable(), "the third came from the client and is gone");
    assert_eq!(read(body).await.unwrap().len(), 4000, "and the rest streams on");
}

#[tokio::test]
async fn a_body_that_ends_at_the_limit_stays_replayable() {
    let piece: &'static str = "x".repeat(2000).leak();
    let upload = gather(frames(&[piece]), true, 2000).await.unwrap();
    for _ in 0..2 {
        let (body, _) = upload.attempt(false);
        assert_eq!(read(body).await.unwrap().len(), 2000);
    }
}

#[tokio::test]
async fn a_withheld_body_gives_nothing_before_its_gate_opens() {
    let upload = gather(Full::new(Bytes::from_static(b"order")), true, 64).await.unwrap();
    assert_eq!(upload.length(), Length::Known(5));
    let (mut body, gate) = upload.attempt(true);
    assert!(body.frame().now_or_never().is_none());
    assert!(!gate.started());
    gate.open();
    assert_eq!(read(body).await.unwrap(), "order");
    assert!(gate.withdraw(), "its bytes were handed out");
}

#[tokio::test]
async fn a_withdrawn_body_never_starts() {
    let upload = gather(Full::new(Bytes::from_static(b"order")), true, 64).await.unwrap();
    let (body, gate) = upload.attempt(true);
    assert!(!gate.withdraw(), "nothing was handed out");
    gate.open();
    assert!(matches!(read(body).await, Err(BodyError::Withdrawn)));
    let (body, gate) = upload.attempt(true);
    gate.open();
    assert_eq!(read(body).await.unwrap(), "order", "and the next attempt has all of it");
}

#[tokio::test]
async fn the_end_of_an_empty_body_is_withheld_too() {
    let upload = gather(Empty::<Bytes>::new(), false, 64).await.unwrap();
    assert_eq!(upload.length(), Length::None);
    let (mut body, gate) = upload.attempt(true);
    assert!(!body.is_end_stream(), "or hyper would send the end with the head");
    assert!(body.frame().now_or_never().is_none());
    gate.open();
    assert!(body.frame().await.is_none());
    assert!(gate.ended());
    let (body, gate) = upload.attempt(false);
    assert!(body.is_end_stream() && gate.ended());
}

#[tokio::test]
async fn an_empty_body_that_was_framed_stays_framed() {
    let upload = gather(Empty::<Bytes>::new(), true, 64).await.unwrap();
    assert_eq!(upload.length(), Length::Known(0));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_never_an_end() {
    let piece = || Ok(Frame::data(Bytes::from(vec![b'x'; 2000])));
    let broken = |n: usize| -> VecDeque<_> { (0..n).map(|_| piece()).chain([Err("reset")]).collect() };
    let gathered = gather(StreamBody::new(futures::stream::iter(broken(1))), true, 4000).await;
    assert!(matches!(gathered, Err(BodyError::Client(_))));
    let upload = gather(StreamBody::new(futures::stream::iter(broken(3))), true, 4000).await.unwrap();
    let (body, gate) = upload.attempt(false);
    assert!(matches!(read(body).await, Err(BodyError::Client(_))));
    assert_eq!((upload.broken(), gate.ended()), (Some(Fault::BadBody), false));
}

#[tokio::test]
async fn trailers_pass_without_the_words_of_the_mesh() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("x-dynomesh-verdict", "answered".parse().unwrap());
    let frames = vec![Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))), Ok(Frame::trailers(trailers))];
    let upload = gather(StreamBody::new(futures::stream::iter(frames)), true, 64).await.unwrap();
    let (mut body, _) = upload.attempt(false);
    body.frame().await.unwrap().unwrap();
    let packed = body.frame().await.unwrap().unwrap();
    assert!(packed.trailers_ref().unwrap().contains_key(headers::TRAILERS));
    let trailers = trailers::unpack(packed).into_trailers().unwrap();
    assert_eq!(trailers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-sum"]);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_is_expected_is_not_touched_and_its_attempt_has_begun() {
    let body = Arriving::new(Full::new(Bytes::from_static(b"order")), PATIENT, Rc::default());
    let upload = Upload::expecting(body).unwrap();
    assert_eq!((upload.length(), upload.course(), upload.replayable()), (Length::Known(5), Course::Expected, true));
    let (mut body, gate) = upload.attempt(true);
    assert!(body.frame().now_or_never().is_none());
    assert!(gate.started() && gate.withdraw(), "a dyno has seen the head");
    let (body, gate) = upload.attempt(true);
    gate.open();
    assert_eq!(read(body).await.unwrap(), "order");
    assert!(!upload.replayable());
    let empty = Arriving::new(Empty::<Bytes>::new(), PATIENT, Rc::default());
    assert!(Upload::expecting(empty).is_err(), "there is nothing to wait for");
}

/// It ends like one that was whole, but its stream never said so.
#[tokio::test]
async fn a_body_of_http2_that_ends_without_the_end_of_its_stream_is_cut() {
    let arriving = |streamed| Arriving::new(frames(&["half"]), PATIENT, Rc::default()).of_stream(streamed);
    let gathered = Upload::gather(arriving(true), true, false, 64).await;
    assert!(matches!(gathered, Err(BodyError::Client(None))), "half a body was taken for a whole one");
    assert!(Upload::gather(arriving(false), true, false, 64).await.is_ok(), "HTTP/1 says by its end that it ended");
    let whole = Arriving::new(Full::new(Bytes::from_static(b"whole")), PATIENT, Rc::default()).of_stream(true);
    assert!(Upload::gather(whole, true, false, 64).await.is_ok());
}

#[tokio::test]
async fn a_body_that_stands_still_is_an_error_and_one_that_nobody_asks_for_is_not() {
    let (came, idle) = (Rc::default(), Span::from_millis(60));
    let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"half")))]);
    let body = StreamBody::new(first.chain(futures::stream::pending()));
    let mut body = Arriving::new(body, Some(idle), Rc::clone(&came));
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::sleep(idle.times(2).to_std()).await;
    let asked = tokio::time::Instant::now();
    assert!(matches!(body.frame().await, Some(Err(BodyError::Silent))));
    assert!(asked.elapsed() >= idle.to_std());
    assert_eq!(came.get(), 4);
}

#[tokio::test]
async fn of_a_conversation_only_what_is_at_hand_is_gathered() {
    let gather = |at_hand: &'static [&'static str]| {
        let words = at_hand.iter().map(|word| Ok::<_, Infallible>(Frame::data(Bytes::from(*word))));
        let body = StreamBody::new(futures::stream::iter(words).chain(futures::stream::pending()));
        Upload::gather(Arriving::new(body, PATIENT, Rc::default()), true, true, 64)
    };
    let upload = gather(&["word"]).await.unwrap();
    assert_eq!(upload.course(), Course::Withheld);
    let upload = gather(&[]).await.unwrap();
    assert_eq!((upload.course(), upload.replayable()), (Course::Talk, true));
    let (_, gate) = upload.attempt(false);
    assert!(gate.started(), "the dyno has the head");
}
