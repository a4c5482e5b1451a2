//! Free ports for the processes of a mesh on this machine.
//!
//! Asking the kernel for any free port is not enough: it hands out ports that it also uses for outgoing connections, so one that is free
//! when it is chosen may be taken when the process it was chosen for starts, or starts again tomorrow. Ports are therefore taken below
//! that range, in ranges whose first port is held open as a claim for as long as this mesh runs; several meshes on one machine never meet.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rand::seq::SliceRandom;

/// Ports in one range; the first is the claim.
const RANGE_LEN: u16 = 128;
/// The ranges lie from here ...
const LOWEST: u16 = 10_240;
/// ... to here, where Linux begins to use ports for outgoing connections.
const HIGHEST: u16 = 32_640;

/// Ranges of ports claimed by this process.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    claims: Vec<(u16, TcpListener)>,
    /// Ports of the newest range that were not handed out, the next one last.
    spare: Vec<u16>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error("no range of {RANGE_LEN} ports is free between {LOWEST} and {HIGHEST}: too many meshes run on this machine")]
    Exhausted,
    #[error("ports {base} to {last} of this data directory are in use by another mesh on this machine; stop it first", last = base + RANGE_LEN - 1)]
    Claimed { base: u16 },
}

impl Ports {
    /// Claims the ranges that an earlier run with the same data directory used.
    pub(crate) fn reclaim(bases: &[u16]) -> Result<Self, PortError> {
        let claim = |base: &u16| match listen(*base) {
            Ok(listener) => Ok((*base, listener)),
            Err(_) => Err(PortError::Claimed { base: *base }),
        };
        Ok(Ports { claims: bases.iter().map(claim).collect::<Result<_, _>>()?, spare: Vec::new() })
    }

    /// The first ports of the claimed ranges, to be given to [`Ports::reclaim`] by the next run.
    pub(crate) fn bases(&self) -> Vec<u16> {
        self.claims.iter().map(|(base, _)| *base).collect()
    }

    /// A port that nobody on this machine listens on, neither by TCP nor by UDP.
    pub(crate) fn take(&mut self) -> Result<u16, PortError> {
        loop {
            while let Some(port) = self.spare.pop() {
                if listen(port).is_ok() && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return Ok(port);
                }
            }
            self.claim()?;
        }
    }

    fn claim(&mut self) -> Result<(), PortError> {
        let mut bases: Vec<u16> = (LOWEST..HIGHEST).step_by(RANGE_LEN.into()).collect();
        bases.shuffle(&mut rand::rng());
        let (base, listener) = bases.into_iter().find_map(|base| Some((base, listen(base).ok()?))).ok_or(PortError::Exhausted)?;
        self.claims.push((base, listener));
        self.spare = (base + 1..base + RANGE_LEN).rev().collect();
        Ok(())
    }
}

/// Whether `port` can be listened on, as a test that leaves nothing behind or as a claim that is kept.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_meshes_never_share_a_port() {
        let (mut one, mut other) = (Ports::default(), Ports::default());
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            assert!(seen.insert(one.take().unwrap()));
            assert!(seen.insert(other.take().unwrap()));
        }
        assert!(one.bases().len() > 1, "200 ports came from one range of {RANGE_LEN}");
    }

    #[test]
    fn a_range_in_use_is_not_claimed_again() {
        let mut one = Ports::default();
        one.take().unwrap();
        let bases = one.bases();
        assert!(matches!(Ports::reclaim(&bases), Err(PortError::Claimed { .. })));
        drop(one);
        assert_eq!(Ports::reclaim(&bases).unwrap().bases(), bases);
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let mut ports = Ports::default();
        let first = ports.take().unwrap();
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, first + 1)).unwrap();
        assert_ne!(ports.take().unwrap(), taken.local_addr().unwrap().port());
    }
}
