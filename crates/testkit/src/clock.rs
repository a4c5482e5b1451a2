//! The time of a test: `CLOCK_BOOTTIME`, as the journals of the sample dynos tell it, and no setting of the mesh can move it.

use dynomesh_core::time::Time;
use rustix::time::{ClockId, clock_gettime};

/// Now.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Time::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
