//! Small files that are replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces what is at `path` by these bytes: whole or not at all, and flushed. What it has with the extension `new` beside it is overwritten.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}
