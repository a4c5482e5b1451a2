//! Runs the real daemons on a simulated machine room, by seed: see `kernel` for how, and `story` for what a seed does.

mod kernel;
mod mesh;

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
    if std::env::args().nth(2).is_some() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("debug,h2=info,hyper=info,tower=info").with_thread_names(true).init();
    }
    kernel::begin(seed, "story", u32::from(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    for node in ["control-1", "b1-1", "b1-2", "b1-3", "b2-1", "b2-2", "b2-3"] {
        std::fs::create_dir_all(dir.path().join("disk").join(node)).expect("a folder");
    }
    let mesh = mesh::Mesh::start(dir.path(), &[1; 8]);
    match &mesh {
        Ok(_) => eprintln!("up after {} ms", mesh::millis()),
        Err(error) => eprintln!("{error}"),
    }
    kernel::with(|world| eprintln!("{:?} {:?}", world.ends, world.alarms));
    let path = dir.path().to_owned();
    std::process::Command::new("rm").arg("-rf").arg(path);
    kernel::raw::exit(0);
}
