//! `dynomesh sim map`: how the map spreads in a mesh of any size.

use super::SimError;
use super::output::{self, Format};
use crate::map::measure::Bytes;
use crate::map::{Findings, Scale, measure};
use crate::report::{Grid, Record, Side, Value};

/// Spread the map over a mesh of the size you plan for: how fast, and for how many bytes
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  dynomesh sim map                            1,000 blocks of 3 replicas and 100 dynos, 100 edges; some 3 GB of memory
  dynomesh sim map --blocks 20 --edges 5      a mesh of your size
  dynomesh sim map --loss 0.05 --delay 20     over worse links")]
pub(super) struct MapArgs {
    /// Blocks
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(2..=3000))]
    blocks: u16,
    /// Replicas of a block
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=7))]
    replicas: u8,
    /// Dynos of a block
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(4..=1000))]
    dynos: u16,
    /// Edges
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    edges: u16,
    /// Share of datagrams that are lost
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    loss: f64,
    /// Longest way of a datagram, in ms
    #[arg(long, value_name = "MS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    delay: u64,
    /// Where chance begins
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..0.5).contains(share)).ok_or_else(|| "must be a share from 0 to 0.5".into())
}

pub(super) fn perform(args: &MapArgs, format: Format) -> Result<(), SimError> {
    let scale = Scale {
        blocks: args.blocks.into(),
        replicas: args.replicas.into(),
        dynos: args.dynos.into(),
        edges: args.edges.into(),
        loss: args.loss,
        delay_max: args.delay * 1000,
        seed: args.seed,
        ..Scale::default()
    };
    let found = measure(&scale, |said| eprintln!("{said}"));
    let head = format!("{} nodes; datagrams take up to {} ms, {} % are lost; times in ms.\n", found.nodes, args.delay, args.loss * 100.0);
    output::write(format, &head, &times(&found), &traffic(&found).text(), &records(&found))
}

fn times(found: &Findings) -> Grid {
    let heads = ["until", "median", "worst", "of"];
    let mut grid = Grid::new(heads.iter().enumerate().map(|(nth, head)| ((*head).into(), if nth == 0 { Side::Left } else { Side::Right })));
    for (what, times) in lines(found) {
        grid.push(vec![what.into(), format!("{:.0}", median(times)), format!("{:.0}", worst(times)), times.len().to_string()]);
    }
    grid
}

fn lines(found: &Findings) -> [(&'static str, &[f64]); 6] {
    [
        ("a fresh edge has all leaders and apps", &found.edge_routes),
        ("... and all loads", &found.edge_loads),
        ("half of all nodes know a new leader", &found.leader_median),
        ("all nodes do", &found.leader_all),
        ("both blocks and control know an assignment", &found.assigned),
        ("the waiting block knows a promise", &found.released),
    ]
}

fn traffic(found: &Findings) -> Grid {
    let heads = ["bytes/s of a node", "sent", "received", "sent at most", "sent, loads change", "received", "sent at most"];
    let mut grid = Grid::new(heads.iter().enumerate().map(|(nth, head)| ((*head).into(), if nth == 0 { Side::Left } else { Side::Right })));
    for (kind, (quiet, busy)) in KINDS.iter().zip(found.quiet.iter().zip(&found.busy)) {
        let cells = |bytes: &Bytes| [bytes.sent, bytes.received, bytes.sent_max].map(|bytes| format!("{bytes:.0}"));
        grid.push([vec![(*kind).to_owned()], cells(quiet).to_vec(), cells(busy).to_vec()].concat());
    }
    grid
}

const KINDS: [&str; 3] = ["control", "edge", "block replica"];

fn records(found: &Findings) -> Vec<Record> {
    let times = lines(found).into_iter().map(|(what, times)| {
        let record = Record::default().with("until", Value::Text(what.into()));
        record.with("median_ms", median(times)).with("worst_ms", worst(times))
    });
    let bytes = KINDS.iter().zip(found.quiet.iter().zip(&found.busy)).map(|(kind, (quiet, busy))| {
        let record = Record::default().with("node", Value::Text((*kind).into()));
        record
            .with("quiet_sent", quiet.sent)
            .with("quiet_received", quiet.received)
            .with("busy_sent", busy.sent)
            .with("busy_received", busy.received)
    });
    times.chain(bytes).collect()
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn worst(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}
