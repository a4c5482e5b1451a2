//! The reference in `docs/` says what the wire file says.

#[path = "../examples/reference/page.rs"]
mod page;

#[test]
fn the_reference_of_the_admin_api_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let page = page::page(dynomesh_proto::FILE_DESCRIPTOR_SET);
    assert!(written == page, "docs/api.md is out of date; write it with: cargo run -p dynomesh-proto --example reference > docs/api.md");
}

#[test]
fn every_call_names_its_role_and_every_type_is_told() {
    let page = page::page(dynomesh_proto::FILE_DESCRIPTOR_SET);
    let calls: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    assert!(calls.len() >= 33, "{}", calls.len());
    for call in calls {
        assert!(["| read |", "| operate |", "| admin |"].iter().any(|role| call.contains(role)), "{call}");
    }
    for link in page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(page.lines().any(|line| line.trim_start_matches('#').trim().to_lowercase() == link && line.starts_with('#')), "{link}");
    }
}
