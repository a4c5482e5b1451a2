//! An authority with its files, a listener of our own, and a client that shows and trusts what a test wants.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{CertificateFiles, ClientAuth, MinVersion, ServerTls, TlsMetrics, TlsSection, provider};

/// An authority and the folder its files are in.
pub(super) struct Authority {
    pub(super) dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A client before it connects.
#[derive(Clone)]
pub(super) struct Client {
    roots: RootCertStore,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) shows: Option<CertificateFiles>,
    pub(super) name: &'static str,
}

impl Authority {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two authorities of one name would be taken for each other until their signatures are looked at.
        params.distinguished_name.push(DnType::CommonName, dir.path().to_str().unwrap());
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { dir, issuer: Issuer::new(params, key) }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate as text, and its key.
    pub(super) fn sign(&self, names: &[&str]) -> (String, String) {
        let params = CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Files called `NAME.pem` and `NAME.key`, written or replaced.
    pub(super) fn issue(&self, name: &str, names: &[&str]) -> CertificateFiles {
        let (cert, key) = self.sign(names);
        let files = CertificateFiles { cert: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) };
        put(&files.cert, &cert);
        put(&files.key, &key);
        files
    }

    /// A listener's section with one certificate, for `localhost`.
    pub(super) fn section(&self) -> TlsSection {
        TlsSection {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            certificates: vec![self.issue("server", &["localhost"])],
            client_auth: ClientAuth::Off,
            client_ca: None,
            min_version: MinVersion::Tls12,
            strict_sni: false,
        }
    }

    pub(super) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        Client { roots, alpn: Vec::new(), versions: vec![&TLS13, &TLS12], shows: None, name: "localhost" }
    }
}

/// Replaces a file as a whole, so that no reader finds half of one.
pub(super) fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

pub(super) fn server(section: &TlsSection) -> ServerTls {
    ServerTls::for_clients(section, true, &TlsMetrics::default()).unwrap()
}

/// Two looks: a change is taken over at the second.
pub(super) fn look(server: &ServerTls) {
    server.files().look();
    server.files().look();
}

/// Repeats what it is sent, on each connection that shakes hands.
pub(super) async fn echo(server: &ServerTls) -> std::net::SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, server) = (listener.local_addr().unwrap(), server.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = server.clone();
            tokio::spawn(async move {
                let Ok(stream) = server.accept(stream).await else { return };
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

impl Client {
    pub(super) fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&self.versions).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.cert).unwrap().collect::<Result<_, _>>().unwrap();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap()).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }

    pub(super) async fn connect(&self, address: std::net::SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(self.name).unwrap();
        TlsConnector::from(Arc::new(self.config())).connect(name, stream).await
    }

    /// Connects and has a word repeated: then the server has taken what this client showed.
    pub(super) async fn try_echo(&self, address: std::net::SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut stream = self.connect(address).await?;
        repeat(&mut stream).await?;
        Ok(stream)
    }
}

pub(super) async fn repeat(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"word").await?;
    let mut back = [0; 4];
    stream.read_exact(&mut back).await?;
    assert_eq!(&back, b"word");
    Ok(())
}

/// The certificate that the server showed.
pub(super) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Runs a test with a time limit.
pub(super) fn run(test: impl Future<Output = ()>) {
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    crate::workers::local_runtime().unwrap().block_on(limited);
}
