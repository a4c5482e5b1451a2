//! Compiles every file under `/proto`, with protox: no protoc is asked of the user's machine. Refuses nothing by itself; a
//! mistake in a file fails the build with its place.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let set = protox::compile(&files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), set.encode_to_vec())?;
    write_modules(&out, &set.file.iter().map(|file| file.package().to_owned()).collect::<Vec<_>>())?;
    // Payloads stay views into the received frame instead of copies.
    let config = tonic_prost_build::configure().bytes(".dynomesh.raft.v1").build_transport(true);
    config.compile_fds(set)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder).map_err(|e| format!("read {}: {e}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            println!("cargo:rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}

/// Writes one `pub mod AREA { pub mod VERSION { .. } }` per package `dynomesh.AREA.VERSION`, so that a new file under `/proto`
/// needs no change here.
fn write_modules(out: &Path, packages: &[String]) -> Result<(), Box<dyn Error>> {
    let mut packages: Vec<&String> = packages.iter().filter(|p| p.starts_with("dynomesh.")).collect();
    packages.sort();
    packages.dedup();
    let mut text = String::new();
    for package in packages {
        let [_, area, version] = package.split('.').collect::<Vec<_>>()[..] else {
            return Err(format!("package {package} must be named dynomesh.AREA.VERSION").into());
        };
        text += &format!("/// Generated from `/proto/dynomesh/{area}`.\npub mod {area} {{\n");
        text += &format!("/// Version {version} of these messages.\n#[allow(missing_docs, unreachable_pub, clippy::all)]\n");
        text += &format!("pub mod {version} {{ include!(concat!(env!(\"OUT_DIR\"), \"/{package}.rs\")); }}\n}}\n");
    }
    fs::write(out.join("modules.rs"), text)?;
    Ok(())
}
