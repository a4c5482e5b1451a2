//! Writes the reference of the admin API from the comments of its wire file: `cargo run -p dynomesh-proto --example reference > docs/api.md`.

mod page;

fn main() {
    print!("{}", page::page(dynomesh_proto::FILE_DESCRIPTOR_SET));
}
