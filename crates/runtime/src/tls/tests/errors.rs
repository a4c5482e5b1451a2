//! What is refused, in the words an operator reads.

use super::kit::{Authority, put};
use crate::tls::{ClientAuth, ServerTls, TlsMetrics, TlsSection};

fn refused(section: &TlsSection) -> String {
    ServerTls::for_clients(section, true, &TlsMetrics::default()).expect_err("these files are not to be used").to_string()
}

#[test]
fn an_error_names_the_setting_the_file_and_what_is_wrong() {
    let authority = Authority::new();
    let section = authority.section();
    let (cert, key) = (section.certificates[0].cert.clone(), section.certificates[0].key.clone());
    let sound = std::fs::read_to_string(&cert).unwrap();
    let sound_key = std::fs::read_to_string(&key).unwrap();
    let (other, other_key) = authority.sign(&["localhost"]);
    let passphrase = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cut = &sound[..sound.len() / 2];
    let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (setting, text, said) in [
        ("cert", "certificate", "is not PEM: it has no line `-----BEGIN ...-----`"),
        ("cert", &sound_key, "holds no certificate"),
        ("cert", cut, "is damaged PEM"),
        ("cert", not_x509, "its names and its time cannot be read"),
        ("key", "", "is not PEM"),
        ("key", &sound, "holds no private key"),
        ("key", passphrase, "holds a key under a passphrase"),
        ("key", &other_key, "is not the key of the certificate in"),
    ] {
        let path = if setting == "cert" { &cert } else { &key };
        put(path, text);
        let error = refused(&section);
        let begins = format!("`tls.certificates[0].{setting}`: {} ", path.display());
        assert!(error.starts_with(&begins) && error.contains(said), "{error}");
        put(&cert, &sound);
        put(&key, &sound_key);
    }
    put(&cert, &other);
    assert!(refused(&section).contains("is not the key of the certificate in"));
    std::fs::remove_file(&cert).unwrap();
    let error = refused(&section);
    assert!(error.contains("server.pem cannot be read: No such file"), "{error}");
}

#[test]
fn authorities_are_judged_too() {
    let authority = Authority::new();
    let ca = authority.path("clients.pem");
    put(&ca, "nothing");
    let section = TlsSection { client_auth: ClientAuth::Required, client_ca: Some(ca), ..authority.section() };
    let error = refused(&section);
    assert!(error.starts_with("`tls.client_ca`: ") && error.contains("clients.pem is not PEM"), "{error}");
}

#[test]
fn settings_that_do_not_fit_each_other_are_refused() {
    let authority = Authority::new();
    let section = || authority.section();
    assert!(section().check().is_ok());
    for (wrong, said) in [
        (TlsSection { certificates: Vec::new(), ..section() }, "`tls.certificates`: must name at least one"),
        (TlsSection { client_auth: ClientAuth::Optional, ..section() }, "`tls.client_ca`: must name a file of authorities"),
        (TlsSection { client_ca: Some(authority.ca()), ..section() }, "`tls.client_ca`: has no use while `tls.client_auth` is off"),
    ] {
        let error = wrong.check().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
