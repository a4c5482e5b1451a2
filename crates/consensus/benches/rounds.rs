//! What a group of three on loopback does: proposals per second and CPU per proposal at 1, 64 and 1024 proposers, and the time
//! from a killed leader to the first commit of its successor.
//!
//! CPU is that of the whole process, so it counts the leader and both followers. Every commit waits for a flush of real files:
//! the figures are those of the disk under the temporary directory.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up measures nothing")]
#![expect(missing_docs, reason = "criterion makes a public function")]

#[path = "../tests/group/cluster.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod cluster;

use std::time::{Duration, Instant};

use cluster::{Cluster, Command};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dynomesh_consensus::{Options, Replica, Timers};

fn product_timers(options: &mut Options) {
    options.timers = Timers::default();
    options.segment_len = 4 * 1024 * 1024;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// CPU time this process has used.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// `proposers` tasks propose one after the other until `ops` are through.
async fn rounds(replica: &Replica<cluster::Journal>, proposers: u64, ops: u64) {
    let tasks: Vec<_> = (0..proposers)
        .map(|proposer| {
            let (replica, own) = (replica.clone(), ops / proposers + u64::from(proposer < ops % proposers));
            tokio::spawn(async move {
                for _ in 0..own {
                    replica.propose(Command::Sum).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn proposals(c: &mut Criterion) {
    let mut group = c.benchmark_group("proposals");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    for proposers in [1, 64, 1024] {
        let runtime = runtime();
        let cluster = runtime.block_on(Cluster::group(3, product_timers));
        let leader = runtime.block_on(cluster.leader());
        let replica = cluster.node(leader).replica.clone();
        let (mut total_ops, mut total_cpu, before) = (0, Duration::ZERO, replica.metrics());
        group.throughput(Throughput::Elements(proposers));
        group.bench_function(format!("{proposers}"), |b| {
            b.iter_custom(|iterations| {
                let (begun, used, ops) = (Instant::now(), cpu(), iterations * proposers);
                runtime.block_on(rounds(&replica, proposers, ops));
                total_ops += ops;
                total_cpu += cpu().saturating_sub(used);
                begun.elapsed()
            });
        });
        let after = replica.metrics();
        let per_op = total_cpu.as_secs_f64() * 1e6 / total_ops as f64;
        let batch = (after.ops - before.ops) as f64 / (after.batches - before.batches) as f64;
        println!("{proposers} proposers: {per_op:.1} us of CPU per proposal on all three replicas, {batch:.1} commands per entry");
    }
    group.finish();
}

/// What a group costs while nothing is proposed; printed, for there is nothing to iterate.
fn idle(_: &mut Criterion) {
    let runtime = runtime();
    let cluster = runtime.block_on(Cluster::group(3, product_timers));
    runtime.block_on(cluster.leader());
    let (begun, used) = (Instant::now(), cpu());
    std::thread::sleep(Duration::from_secs(3));
    let share = (cpu() - used).as_secs_f64() / begun.elapsed().as_secs_f64() / 3.0;
    println!("idle: {:.2} % of a core per replica", share * 100.0);
}

fn failover(c: &mut Criterion) {
    let mut group = c.benchmark_group("failover");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(1));
    group.bench_function("from kill to first commit", |b| {
        b.iter_custom(|iterations| {
            let runtime = runtime();
            let mut cluster = runtime.block_on(Cluster::group(3, product_timers));
            let mut took = Duration::ZERO;
            for number in 0..iterations {
                runtime.block_on(cluster.add(number));
                let leader = runtime.block_on(cluster.leader());
                let begun = Instant::now();
                cluster.kill(leader);
                runtime.block_on(cluster.add(1_000_000 + number));
                took += begun.elapsed();
                cluster.restart(leader);
                runtime.block_on(async {
                    let expected = cluster.node(cluster.leader().await).numbers();
                    cluster.converge(&expected).await;
                });
            }
            took
        });
    });
    group.finish();
}

criterion_group!(benches, proposals, idle, failover);
criterion_main!(benches);
