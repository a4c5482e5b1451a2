//! Who leads each block, asked of the replicas themselves.
//!
//! The question is a beat, which the data path answers without touching a dyno; it depends on neither gossip nor the control plane, so
//! the answer is fresh when everything else is down. A replica that does not answer in time claims nothing; the question stays open, so
//! that a frozen replica is not sent a new connection for every beat.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dynomesh_runtime::http::headers::{self, Leader};
use dynomesh_runtime::tls::ClientTls;
use http_body_util::Empty;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::http;

/// Pause between two beats.
const BEAT: Duration = Duration::from_millis(100);
/// Longest wait for an answer before the replica counts as silent.
const SILENT: Duration = Duration::from_millis(150);

/// Beats one replica for ever and reports each change: the term in which it claims to lead, or `None`.
pub(crate) async fn follow(replica: SocketAddr, tls: Option<ClientTls>, report: impl Fn(Option<u64>)) {
    let mut said = None;
    let mut say = |claim: Option<u64>| {
        if said != claim {
            said = claim;
            report(claim);
        }
    };
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let Ok(mut sender) = http::connect(replica, tls.as_ref(), SILENT).await else {
            say(None);
            continue;
        };
        while let Some(claim) = ask(replica, &mut sender, || say(None)).await {
            say(claim);
            beats.tick().await;
        }
        say(None);
    }
}

/// One beat: the replica's claim, or `None` when the connection has ended.
async fn ask(replica: SocketAddr, sender: &mut SendRequest<Empty<Bytes>>, silent: impl FnOnce()) -> Option<Option<u64>> {
    let beat = Request::get("/").header("host", replica.to_string()).header(headers::BEAT, "1").body(Empty::new());
    let mut answer = std::pin::pin!(sender.send_request(beat.expect("the parts of a beat are well formed")));
    let answer = match timeout(SILENT, &mut answer).await {
        Ok(answer) => answer,
        Err(_) => {
            silent();
            answer.await
        }
    };
    answer.ok().map(|answer| claim(&answer))
}

/// The term of a replica that says it leads.
fn claim<B>(answer: &Response<B>) -> Option<u64> {
    let value = |name| answer.headers().get(name)?.to_str().ok();
    if value(headers::ROLE)? != "leader" {
        return None;
    }
    value(headers::LEADER)?.parse::<Leader>().ok().map(|leader| leader.term.0)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    use super::*;

    const LEADS: &str = "HTTP/1.1 204 No Content\r\nx-dynomesh-role: leader\r\nx-dynomesh-leader: 7/1/127.0.0.1:1\r\n\r\n";
    const FOLLOWS: &str = "HTTP/1.1 204 No Content\r\nx-dynomesh-role: follower\r\nx-dynomesh-leader: 7/1/127.0.0.1:1\r\n\r\n";

    async fn next_beat(stream: &mut TcpStream) {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
        assert!(String::from_utf8(seen).unwrap().contains("x-dynomesh-beat: 1"));
    }

    #[tokio::test]
    async fn claims_come_and_go_with_answers_silence_and_death() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, mut claims) = mpsc::unbounded_channel();
        let address = listener.local_addr().unwrap();
        tokio::spawn(follow(address, None, move |claim| sender.send(claim).unwrap()));

        let (mut stream, _) = listener.accept().await.unwrap();
        next_beat(&mut stream).await;
        stream.write_all(LEADS.as_bytes()).await.unwrap();
        assert_eq!(claims.recv().await, Some(Some(7)));

        // Silent: the claim goes, and the late answer brings it back on the same connection.
        next_beat(&mut stream).await;
        assert_eq!(claims.recv().await, Some(None));
        stream.write_all(LEADS.as_bytes()).await.unwrap();
        assert_eq!(claims.recv().await, Some(Some(7)));

        next_beat(&mut stream).await;
        stream.write_all(FOLLOWS.as_bytes()).await.unwrap();
        assert_eq!(claims.recv().await, Some(None));

        next_beat(&mut stream).await;
        stream.write_all(LEADS.as_bytes()).await.unwrap();
        assert_eq!(claims.recv().await, Some(Some(7)));
        drop((stream, listener));
        assert_eq!(claims.recv().await, Some(None));
    }
}
