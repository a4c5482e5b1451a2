//! Where the files of a seed lie: a folder in memory, for it flushes in simulated time only.
//!
//! A program that is killed leaves its folders, so each is named by the program that made it, and the next program removes those of
//! programs that are gone.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

const FILES: &str = "/dev/shm";
const NAME: &str = "dynomesh-simulation-";

/// A new folder, which is removed when it is dropped.
pub(crate) fn make() -> io::Result<TempDir> {
    // Every name is as long as any other: memory is laid out alike for every run of a seed.
    let prefix = format!("{NAME}{:010}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(FILES)
}

/// Removes the folders of programs that are gone.
pub(crate) fn remove_left_over() {
    remove_left_over_in(Path::new(FILES), |program| Path::new("/proc").join(program.to_string()).exists());
}

fn remove_left_over_in(files: &Path, runs: impl Fn(u32) -> bool) {
    let Ok(entries) = fs::read_dir(files) else { return };
    for entry in entries.flatten() {
        let program = entry.file_name().to_str().and_then(program);
        if program.is_some_and(|program| !runs(program)) {
            // Another program may be at it, too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The program that made the folder of this name.
fn program(name: &str) -> Option<u32> {
    name.strip_prefix(NAME)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_programs_that_are_gone_are_removed() {
        let files = tempfile::tempdir().unwrap();
        let names = ["dynomesh-simulation-0000000007-abc", "dynomesh-simulation-0000000008-abc", "dynomesh-abc", "other-7-abc"];
        for name in names {
            fs::create_dir_all(files.path().join(name).join("disk/b1-1")).unwrap();
        }
        remove_left_over_in(files.path(), |program| program == 8);
        assert_eq!(names.map(|name| files.path().join(name).exists()), [false, true, true, true]);
    }

    #[test]
    fn a_folder_is_named_by_its_program() {
        let folder = make().unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(program(name), Some(std::process::id()));
        remove_left_over();
        assert!(folder.path().exists());
    }
}
