//! Who may call: tokens, certificates, roles, and a server that refuses to be open by accident.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dynomesh_consensus::bootstrap_group;
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::admin::v1::admin_client::AdminClient;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{Client, channel, config, connect, refused, shop, soon};
use crate::{ApiSettings, Config, Control, Role};

fn line(role: &str, name: &str, token: &str) -> String {
    let digest: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{role} {name} {digest}\n")
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// A control plane of one replica with these settings.
async fn guarded(dir: &Path, api: ApiSettings) -> (Control, Client) {
    let config = Config { api, ..config("control-1", dir, &[]) };
    let control = Control::start(config).await.unwrap();
    bootstrap_group(&[control.grpc()]).await.unwrap();
    let client = connect(&control);
    (control, client)
}

#[tokio::test]
async fn a_token_gives_its_role_and_its_name_and_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    std::fs::write(&file, line("read", "ann", "t-read") + &line("operate", "bob", "t-operate") + &line("admin", "eve", "t-admin")).unwrap();
    // The peers' service asks for nothing: the group is founded through it.
    let api = ApiSettings { tokens_file: Some(file.clone()), ..ApiSettings::default() };
    let (control, mut client) = guarded(&dir.path().join("data"), api).await;
    let status = wire::GetStatusRequest {};
    refused(client.get_status(status).await, Code::Unauthenticated, "Bearer TOKEN");
    refused(client.get_status(with("wrong", status)).await, Code::Unauthenticated, "not known");
    refused(client.watch_events(wire::WatchEventsRequest::default()).await.map(drop), Code::Unauthenticated, "Bearer TOKEN");
    client.get_status(with("t-read", status)).await.unwrap();
    refused(client.create_app(with("t-read", shop())).await, Code::PermissionDenied, "ann has the role read");
    client.create_app(with("t-operate", shop())).await.unwrap();
    let delete = || wire::DeleteAppRequest { name: "shop".into(), ..Default::default() };
    refused(client.delete_app(with("t-operate", delete())).await, Code::PermissionDenied, "takes the role admin");
    client.delete_app(with("t-admin", delete())).await.unwrap();

    let events = wire::WatchEventsRequest { end: true, ..Default::default() };
    let mut events = client.watch_events(with("t-read", events)).await.unwrap().into_inner();
    let mut callers = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        callers.push(event.caller);
    }
    assert_eq!(callers, ["bob", "eve"]);

    // Health takes at least `read`, as reflection does.
    let mut health = HealthClient::new(channel(&control));
    refused(health.check(HealthCheckRequest::default()).await, Code::Unauthenticated, "token");
    health.check(with("t-read", HealthCheckRequest::default())).await.unwrap();

    // A slip of the pen locks nobody out; a sound file counts at once.
    std::fs::write(&file, "admin eve oops").unwrap();
    std::fs::write(&file, line("read", "dan", "t-new")).unwrap();
    soon(|| async { client.clone().get_status(with("t-new", status)).await.ok() }).await;
    refused(client.get_status(with("t-admin", status)).await, Code::Unauthenticated, "not known");
    control.stop().await;
}

/// A private authority and what it has signed, as files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    fn signs(&self, common: &str, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn secured(dir: &Path, authority: &Authority, roles: &[(&str, Role)]) -> ApiSettings {
    let (cert, key) = authority.signs("control", &["localhost"]);
    ApiSettings {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        cert: Some(write(dir, "cert.pem", &cert)),
        key: Some(write(dir, "key.pem", &key)),
        client_ca: Some(write(dir, "ca.pem", &authority.pem)),
        roles: roles.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect::<BTreeMap<_, _>>(),
        ..ApiSettings::default()
    }
}

/// A client under TLS that shows this certificate.
fn secure(control: &Control, authority: &Authority, identity: Option<(String, String)>) -> Client {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem)).domain_name("localhost");
    let tls = match identity {
        Some((cert, key)) => tls.identity(Identity::from_pem(cert, key)),
        None => tls,
    };
    let endpoint = Endpoint::try_from(format!("https://{}", control.secure().unwrap())).unwrap();
    AdminClient::new(endpoint.tls_config(tls).unwrap().connect_lazy())
}

#[tokio::test]
async fn a_client_certificate_gives_the_role_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let api = secured(dir.path(), &authority, &[("ops.example", Role::Operate), ("ann", Role::Read)]);
    let (control, mut plain) = guarded(&dir.path().join("data"), api).await;
    let status = wire::GetStatusRequest {};
    refused(plain.get_status(status).await, Code::Unauthenticated, "client certificate");
    let mut nobody = secure(&control, &authority, None);
    refused(nobody.get_status(status).await, Code::Unauthenticated, "client certificate");
    let mut stranger = secure(&control, &authority, Some(authority.signs("dan", &["dan.example"])));
    refused(stranger.get_status(status).await, Code::Unauthenticated, "dan.example, dan");
    let mut ann = secure(&control, &authority, Some(authority.signs("ann", &[])));
    ann.get_status(status).await.unwrap();
    refused(ann.create_app(shop()).await, Code::PermissionDenied, "ann has the role read");
    let mut ops = secure(&control, &authority, Some(authority.signs("x", &["ops.example"])));
    ops.create_app(shop()).await.unwrap();
    // One that another authority has signed gets no connection at all.
    let mut forged = secure(&control, &authority, Some(Authority::new().signs("ann", &[])));
    assert!(forged.get_status(status).await.is_err());
    control.stop().await;
}

#[tokio::test]
async fn a_start_with_files_that_cannot_be_used_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let sound = secured(dir.path(), &authority, &[("ann", Role::Read)]);
    let nowhere = Some(dir.path().join("nowhere"));
    let cases = [
        ("`api.tokens_file`: ", ApiSettings { tokens_file: nowhere.clone(), ..ApiSettings::default() }),
        (
            "`api.tokens_file`: ",
            ApiSettings { tokens_file: Some(write(dir.path(), "tokens", "admin eve secret")), ..ApiSettings::default() },
        ),
        ("`api.key`: ", ApiSettings { key: nowhere, ..sound.clone() }),
        ("`api.cert`: ", ApiSettings { cert: Some(write(dir.path(), "bad.pem", "no certificate")), ..sound }),
    ];
    for (nth, (names, api)) in cases.into_iter().enumerate() {
        let config = Config { api, ..config("control-1", &dir.path().join(nth.to_string()), &[]) };
        let Err(error) = Control::start(config).await else { panic!("case {nth} was not refused") };
        assert!(error.to_string().starts_with(names) && !error.to_string().contains("secret"), "{error}");
    }
}
