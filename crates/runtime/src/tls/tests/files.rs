//! Files that change while connections live.

use super::kit::{Authority, echo, look, put, repeat, run, server, shown};
use crate::tls::{CertificateFiles, ServerTls, TlsMetrics};

#[test]
fn new_files_are_for_new_connections_and_old_ones_go_on() {
    run(async {
        let authority = Authority::new();
        let server = server(&authority.section());
        let address = echo(&server).await;
        let mut old = authority.client().try_echo(address).await.unwrap();

        authority.issue("server", &["localhost"]);
        look(&server);
        let new = authority.client().try_echo(address).await.unwrap();
        assert_ne!(shown(&old), shown(&new));
        repeat(&mut old).await.unwrap();
        assert_eq!((server.0.counts.reloads.get(), server.0.counts.reload_failures.get()), (1, 0));

        look(&server);
        assert_eq!(server.0.counts.reloads.get(), 1, "nothing has changed since");
    });
}

#[test]
fn files_that_cannot_be_used_change_nothing_and_are_told_once() {
    run(async {
        let authority = Authority::new();
        let server = server(&authority.section());
        let address = echo(&server).await;
        let before = shown(&authority.client().try_echo(address).await.unwrap());

        let (cert, key) = authority.sign(&["localhost"]);
        put(&authority.path("server.pem"), &cert);
        for _ in 0..3 {
            look(&server);
        }
        assert_eq!((server.0.counts.reloads.get(), server.0.counts.reload_failures.get()), (0, 1), "certificate and key do not match");
        assert_eq!(shown(&authority.client().try_echo(address).await.unwrap()), before);

        std::fs::remove_file(authority.path("server.key")).unwrap();
        look(&server);
        assert_eq!(server.0.counts.reload_failures.get(), 2, "the key is missing");
        assert_eq!(shown(&authority.client().try_echo(address).await.unwrap()), before);

        put(&authority.path("server.key"), &key);
        look(&server);
        assert_eq!((server.0.counts.reloads.get(), server.0.counts.reload_failures.get()), (1, 2));
        assert_ne!(shown(&authority.client().try_echo(address).await.unwrap()), before);
    });
}

#[test]
fn a_certificate_and_its_key_may_be_replaced_one_after_the_other() {
    run(async {
        let authority = Authority::new();
        let server = server(&authority.section());
        let (cert, key) = authority.sign(&["localhost"]);
        put(&authority.path("server.pem"), &cert);
        server.files().look();
        put(&authority.path("server.key"), &key);
        server.files().look();
        assert_eq!(server.0.counts.reloads.get(), 0, "what has just changed may change further");
        server.files().look();
        assert_eq!((server.0.counts.reloads.get(), server.0.counts.reload_failures.get()), (1, 0));
    });
}

/// As Kubernetes replaces a secret: the files are links into a folder that is itself a link.
#[test]
fn a_folder_that_is_swapped_by_its_link_is_seen() {
    run(async {
        let authority = Authority::new();
        for version in ["first", "second"] {
            std::fs::create_dir(authority.path(version)).unwrap();
            let (cert, key) = authority.sign(&["localhost"]);
            std::fs::write(authority.path(version).join("tls.crt"), cert).unwrap();
            std::fs::write(authority.path(version).join("tls.key"), key).unwrap();
        }
        let point = |at: &str| {
            std::os::unix::fs::symlink(at, authority.path("..next")).unwrap();
            std::fs::rename(authority.path("..next"), authority.path("..data")).unwrap();
        };
        point("first");
        let files = ["tls.crt", "tls.key"].map(|name| {
            std::os::unix::fs::symlink(format!("..data/{name}"), authority.path(name)).unwrap();
            authority.path(name)
        });
        let [cert, key] = files;
        let mut section = authority.section();
        section.certificates = vec![CertificateFiles { cert, key }];
        let server = server(&section);
        let address = echo(&server).await;
        let before = shown(&authority.client().try_echo(address).await.unwrap());
        point("second");
        look(&server);
        assert_ne!(shown(&authority.client().try_echo(address).await.unwrap()), before);
    });
}

#[test]
fn the_time_left_is_that_of_the_first_certificate_to_expire() {
    let authority = Authority::new();
    let registry = crate::telemetry::Registry::new("edge", "edge-1");
    let server = ServerTls::for_clients(&authority.section(), true, &TlsMetrics::register(&registry)).unwrap();
    server.files().look();
    let text = registry.encode();
    let line = text.lines().find(|line| line.starts_with("dynomesh_tls_expiry_seconds{section=\"tls\"} ")).expect("it is told");
    let seconds: i64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    // Certificates of tests end in the year 4096.
    let years = seconds / (365 * 24 * 3600);
    assert!((2000..2200).contains(&years), "{line}");
}
