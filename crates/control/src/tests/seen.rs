//! The control plane from outside: health, reflection, readiness, metrics, limits, and the command line.

use std::process::ExitCode;

use dynomesh_proto::admin::v1 as wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{Block, alone, dyno, refused, shop, soon, start};

async fn get(control: &crate::Control, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(control.admin()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn health_and_readiness_follow_the_standing() {
    let dir = tempfile::tempdir().unwrap();
    let control = start("control-1", dir.path()).await;
    let mut health = HealthClient::new(super::channel(&control));
    let mut check = async || {
        let request = HealthCheckRequest { service: "dynomesh.admin.v1.Admin".into() };
        health.check(request).await.unwrap().into_inner().status()
    };
    assert_eq!(check().await, ServingStatus::NotServing);
    let not_ready = get(&control, "/readyz").await;
    assert!(not_ready.starts_with("HTTP/1.1 503") && not_ready.contains("control bootstrap"), "{not_ready}");
    assert!(get(&control, "/healthz").await.starts_with("HTTP/1.1 200"));

    dynomesh_consensus::bootstrap_group(&[control.grpc()]).await.unwrap();
    soon(|| async { get(&control, "/readyz").await.starts_with("HTTP/1.1 200").then_some(()) }).await;
    assert_eq!(check().await, ServingStatus::Serving);
    control.stop().await;
}

#[tokio::test]
async fn what_happened_is_in_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    client.create_app(shop()).await.unwrap();
    client.add_dyno(dyno("a", 3000)).await.unwrap();
    client.add_dyno(dyno("b", 3000)).await.unwrap_err();
    let text = get(&control, "/metrics").await;
    for line in [
        "dynomesh_admin_calls_total{method=\"AddDyno\",code=\"ok\"} 1",
        "dynomesh_admin_calls_total{method=\"AddDyno\",code=\"already_exists\"} 1",
        "dynomesh_directory_dynos 1",
        "dynomesh_directory_dynos_waiting 1",
        "dynomesh_raft_leader 1",
        "dynomesh_raft_commit_seconds_bucket{le=\"+Inf\"}",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    control.stop().await;
}

#[tokio::test]
async fn a_request_of_absurd_size_is_refused_and_the_connection_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let (control, mut client) = alone(dir.path()).await;
    let huge = wire::CreateAppRequest { name: "x".repeat(1 << 20), ..shop() };
    refused(client.create_app(huge).await, Code::OutOfRange, "limit");
    client.create_app(shop()).await.unwrap();
    control.stop().await;
}

#[tokio::test]
async fn reflection_tells_the_services() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let dir = tempfile::tempdir().unwrap();
    let control = start("control-1", dir.path()).await;
    let mut client = ServerReflectionClient::new(super::channel(&control));
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) };
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"dynomesh.admin.v1.Admin") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    drop(answers);
    control.stop().await;
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    global: dynomesh_ctl::Global,
    #[command(subcommand)]
    command: dynomesh_ctl::Command,
}

/// Runs one line of the command line against `control`.
async fn dynomesh(control: &crate::Control, line: &str) -> ExitCode {
    let line = format!("dynomesh --admin {} {line}", control.grpc());
    let line = <Line as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
    tokio::task::spawn_blocking(move || dynomesh_ctl::run(line.command, &line.global)).await.unwrap()
}

#[tokio::test]
async fn the_command_line_exits_0_when_committed_and_1_when_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (control, client) = alone(dir.path()).await;
    for line in [
        "app create shop --host shop.example --max-conns 2",
        "app create shop --host shop.example --max-conns 2",
        "app list -o json",
        "dyno add shop 127.0.0.1:3000 --id a",
        "dyno list",
        "dyno drain a",
        "block list -o json",
        "status",
        "status -o json",
    ] {
        assert_eq!(dynomesh(&control, line).await, ExitCode::SUCCESS, "{line}");
    }
    for line in ["app create shop --host other.example", "dyno add shop nowhere", "dyno remove ghost", "app delete shop"] {
        assert_eq!(dynomesh(&control, line).await, ExitCode::from(1), "{line}");
    }
    assert_eq!(super::dynos(&client).await.len(), 1);
    control.stop().await;
}

#[tokio::test]
async fn the_command_line_waits_for_the_effect_and_says_when_it_does_not_come() {
    let dir = tempfile::tempdir().unwrap();
    let (control, _client) = alone(dir.path()).await;
    assert_eq!(dynomesh(&control, "app create shop --host *").await, ExitCode::SUCCESS);
    let block = Block::start("b1", 1, &control);
    assert_eq!(dynomesh(&control, "dyno add shop 127.0.0.1:3001 --id b").await, ExitCode::SUCCESS);
    // Nobody adopts it.
    assert_eq!(dynomesh(&control, "dyno add shop 127.0.0.1:3000 --id a --wait --timeout 200ms").await, ExitCode::from(4));
    let id = dynomesh_core::id::DynoId::new("a").unwrap();
    let removing = dynomesh(&control, "dyno remove a --wait");
    let releasing = async {
        let removed = block.hears(|view| view.assignment(&id).filter(|fact| fact.block.is_none()).cloned()).await;
        let (dyno, block_name, epoch) = (id.clone(), block.name(), removed.epoch);
        block.say(dynomesh_core::map::Fact::Released(dynomesh_core::map::fact::ReleasedFact {
            dyno,
            block: block_name,
            group: None,
            epoch,
        }));
    };
    let (removed, ()) = tokio::join!(removing, releasing);
    assert_eq!(removed, ExitCode::SUCCESS);
    control.stop().await;
}
