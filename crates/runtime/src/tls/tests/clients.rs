//! What a client may speak, ask for and show.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::kit::{Authority, echo, look, repeat, run, server};
use crate::tls::{ClientAuth, MinVersion, ServerTls, TlsMetrics, TlsSection};

fn alert(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[test]
fn http2_is_agreed_on_where_both_speak_it() {
    run(async {
        let authority = Authority::new();
        let with = server(&authority.section());
        let without = ServerTls::for_clients(&authority.section(), false, &TlsMetrics::default()).unwrap();
        let (with, without) = (echo(&with).await, echo(&without).await);
        let offer = |names: &[&str]| {
            let mut client = authority.client();
            client.alpn = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            client
        };
        for (address, offered, agreed) in [
            (with, &["h2", "http/1.1"][..], Some("h2")),
            (with, &["http/1.1", "h2"], Some("h2")),
            (with, &["http/1.1"], Some("http/1.1")),
            (with, &[], None),
            (without, &["h2", "http/1.1"], Some("http/1.1")),
        ] {
            let stream = offer(offered).try_echo(address).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        }
        let error = offer(&["spdy/3"]).try_echo(with).await.unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::NoApplicationProtocol), "{error}");
    });
}

#[test]
fn versions_older_than_the_oldest_are_refused() {
    run(async {
        let authority = Authority::new();
        let both = server(&authority.section());
        let new = server(&TlsSection { min_version: MinVersion::Tls13, ..authority.section() });
        let mut old_client = authority.client();
        old_client.versions = vec![&TLS12];
        let stream = old_client.try_echo(echo(&both).await).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        let error = old_client.try_echo(echo(&new).await).await.unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::ProtocolVersion), "{error}");
        assert_eq!(new.0.counts.handshake_failures.get(), 1);
    });
}

/// Hellos of TLS 1.1, by hand: nobody here can speak it.
#[test]
fn tls_1_1_is_answered_by_an_alert() {
    run(async {
        let authority = Authority::new();
        let server = server(&authority.section());
        let address = echo(&server).await;
        const SIGNATURE_ALGORITHMS: [u8; 10] = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
        // What TLS 1.1 has no room for is missed first; with it, nothing but the version is wrong.
        for (extensions, alert) in
            [(&[][..], AlertDescription::HandshakeFailure), (&SIGNATURE_ALGORITHMS, AlertDescription::ProtocolVersion)]
        {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut hello = vec![0x03, 0x02];
            hello.extend([7; 32]);
            // No session, one suite that both would know, no compression.
            hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
            hello.extend(extensions);
            let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
            message.extend(hello);
            let mut record = vec![0x16, 0x03, 0x02, 0, u8::try_from(message.len()).unwrap()];
            record.extend(message);
            stream.write_all(&record).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!((answer[0], &answer[5..]), (0x15, &[2, u8::from(alert)][..]), "a fatal alert");
        }
        assert_eq!(server.0.counts.handshake_failures.get(), 2);
    });
}

#[test]
fn certificates_of_clients_are_asked_for_as_set() {
    run(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let with = |client_auth| TlsSection { client_auth, client_ca: Some(authority.ca()), ..authority.section() };
        let nobody = authority.client();
        let mut known = authority.client();
        known.shows = Some(authority.issue("client", &["client.example"]));
        let mut unknown = authority.client();
        unknown.shows = Some(stranger.issue("client", &["client.example"]));

        let off = echo(&server(&authority.section())).await;
        for client in [&nobody, &known, &unknown] {
            client.try_echo(off).await.unwrap();
        }
        let optional = echo(&server(&with(ClientAuth::Optional))).await;
        nobody.try_echo(optional).await.unwrap();
        known.try_echo(optional).await.unwrap();
        let error = unknown.try_echo(optional).await.unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::UnknownCA), "{error}");

        let required = server(&with(ClientAuth::Required));
        let address = echo(&required).await;
        known.try_echo(address).await.unwrap();
        let error = nobody.try_echo(address).await.unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::CertificateRequired), "{error}");
        unknown.try_echo(address).await.unwrap_err();
        assert_eq!((required.0.counts.handshakes.get(), required.0.counts.handshake_failures.get()), (1, 2));
    });
}

#[test]
fn a_strict_listener_refuses_names_it_does_not_carry() {
    run(async {
        let authority = Authority::new();
        let lax = echo(&server(&authority.section())).await;
        let strict = echo(&server(&TlsSection { strict_sni: true, ..authority.section() })).await;
        let mut other = authority.client();
        other.name = "other.example";
        // Shown the first certificate, it is the client that refuses.
        assert_eq!(other.try_echo(lax).await.unwrap_err().kind(), ErrorKind::InvalidData);
        let error = other.try_echo(strict).await.unwrap_err();
        assert!(alert(&error).is_some(), "{error}");
        authority.client().try_echo(strict).await.unwrap();
    });
}

#[test]
fn a_client_resumes_until_the_files_have_changed_and_never_sends_early_data() {
    run(async {
        let authority = Authority::new();
        let server = server(&authority.section());
        let address = echo(&server).await;
        for version in [&TLS13, &TLS12] {
            let mut client = authority.client();
            client.versions = vec![version];
            let config = Arc::new(client.config());
            let mut kinds = Vec::new();
            for turn in 0..3 {
                if turn == 2 {
                    authority.issue("server", &["localhost"]);
                    look(&server);
                }
                let stream = TcpStream::connect(address).await.unwrap();
                let name = ServerName::try_from("localhost").unwrap();
                let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
                repeat(&mut stream).await.unwrap();
                kinds.push(stream.get_ref().1.handshake_kind().unwrap());
                assert!(!stream.get_ref().1.is_early_data_accepted());
            }
            assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Full]);
        }
    });
}
