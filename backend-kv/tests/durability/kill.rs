//! `kill -9` of a writing process.

use std::sync::Arc;
use std::time::Duration;

use storage_core::ManualClock;

use crate::chance::Chance;
use crate::store::Setting;
use crate::workload::{Twin, Workload};
use crate::writer::Writer;
use crate::{Report, number_from_env};

const ROUNDS: u64 = 200;
/// Longest time that a process writes.
const WRITE_MS_MAX: u64 = 60;
/// Longest time from the start of a process that is killed without having answered.
const START_MS_MAX: u64 = 25;

pub(crate) async fn run(setting: Setting) -> Result<Report, String> {
    let rounds = number_from_env("UNISTORE_KILL_ROUNDS", ROUNDS);
    let workload = Workload {
        seed: number_from_env("UNISTORE_SEED", 1),
        value_bytes_max: 120_000,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut twin = Twin::new(workload);
    let mut chance = Chance::new(workload.seed);
    let mut in_flight = 0;
    for round in 0..rounds {
        let first = twin.steps;
        let mut writer = Writer::start(setting, folder.path(), workload, first);
        if chance.one_in(4) {
            // In the middle of opening or recovery, most of the time.
            let time = Duration::from_millis(chance.below(START_MS_MAX));
            writer.let_write(time).await;
        } else {
            writer.first_answer().await;
            let time = Duration::from_millis(chance.below(WRITE_MS_MAX));
            writer.let_write(time).await;
        }
        let acknowledged = writer.kill();
        let store = setting
            .open(folder.path(), Arc::new(ManualClock::default()))
            .map_err(|e| format!("round {round}: the store does not open: {e:?}"))?;
        store
            .verify(&mut twin, acknowledged, acknowledged + 1)
            .await
            .map_err(|e| format!("round {round}: {e}"))?;
        in_flight += twin.steps - acknowledged;
    }
    Ok(format!(
        "{rounds} kills, {} steps acknowledged and present, {in_flight} in flight and whole",
        twin.steps - in_flight
    ))
}
