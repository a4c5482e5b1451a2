//! The mesh under virtual time.
//!
//! Operators size their blocks here before they buy machines, and the project chooses its defaults here. The routers are those of
//! [`dynomesh_core`]: the ledger, the queue, the choice of a block and the retry rule are the very code that the daemons run, so a
//! figure from here is a figure about them. What is *not* production code is the world around them (cables, faults, dynos), and the
//! rivals under `policy`.

pub mod cli;
pub mod compare;
pub mod dyno;
pub mod engine;
pub mod map;
pub mod mesh;
pub mod parallel;
pub mod part;
pub mod policy;
pub mod report;
pub mod scenario;
pub mod size;
pub mod stack;
pub mod table;
pub mod trace;
pub mod workload;
