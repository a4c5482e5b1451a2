//! What a run needs of its machine. Without it nothing is run and nothing is shown, and that is said aloud.

use crate::system::rival::Kind;
use crate::{program, shell};

/// Programs and the packages of Debian that hold them.
const PROGRAMS: [(&str, &str); 3] = [("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables")];

/// Why no run is possible here, if so.
pub(crate) fn missing(beside: &[Kind]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("runs need root: they make network namespaces".into());
    }
    if beside.iter().any(|kind| !kind.is_mesh()) && !shell::has(program::RIVAL) {
        return Some(format!("rivals need `{0}`, which is in Debian's package {0}", program::RIVAL));
    }
    let lacks = PROGRAMS.iter().find(|(program, _)| !shell::has(program));
    if let Some((program, package)) = lacks {
        return Some(format!("runs need `{program}`, which is in Debian's package {package}"));
    }
    let probe = format!("{}{}-probe", crate::net::PREFIX, std::process::id());
    if let Err(error) = shell::run(&["ip", "netns", "add", &probe]).and_then(|_| shell::run(&["ip", "netns", "del", &probe])) {
        return Some(format!("this machine makes no network namespaces: {error:#}"));
    }
    None
}
