//! The guarded update with history, by many writers: bare, under group commit, and the raw engine.
#![allow(
    missing_docs,
    reason = "criterion's macros make functions without documentation"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::load::{Load, guarded_updates, raw_guarded_updates};
use bench::raw::RawRedb;
use bench::target;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const VALUE_BYTES: usize = 1024;
const UPDATES: usize = 16;

fn folder() -> TempDir {
    // On the disk of the build, not in a memory file system, where a sync costs nothing.
    let target: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
    TempDir::new_in(target).expect("the target folder can be written")
}

fn update(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let mut group = criterion.benchmark_group("guarded_update");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for writers in [1, 64] {
        let load = Load {
            writers,
            updates: UPDATES,
            value_bytes: VALUE_BYTES,
            objects: writers,
        };
        group.throughput(Throughput::Elements((writers * UPDATES) as u64));
        for name in [
            "redb",
            "redb+gc",
            "redb+layers",
            "sled",
            "sled+gc",
            "memory",
        ] {
            ours(&runtime, &mut group, name, load);
        }
        raw(&runtime, &mut group, load);
    }
    group.finish();
}

fn ours(runtime: &Runtime, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, load: Load) {
    let folder = folder();
    let backend = runtime.block_on(async { target::open(name, folder.path()) });
    let backend = backend.expect("an empty store opens");
    group.bench_function(BenchmarkId::new(name, load.writers), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..rounds {
                let run = guarded_updates(Arc::clone(&backend), load);
                elapsed += runtime.block_on(run).expect("the store works").elapsed;
            }
            elapsed
        });
    });
}

fn raw(runtime: &Runtime, group: &mut BenchmarkGroup<'_, WallTime>, load: Load) {
    let folder = folder();
    let raw = Arc::new(RawRedb::create(folder.path()).expect("an empty database opens"));
    group.bench_function(BenchmarkId::new("redb-raw", load.writers), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..rounds {
                elapsed += runtime
                    .block_on(raw_guarded_updates(Arc::clone(&raw), load))
                    .elapsed;
            }
            elapsed
        });
    });
}

criterion_group!(benches, update);
criterion_main!(benches);
