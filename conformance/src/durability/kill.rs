use std::time::Duration;

use super::writer::Writer;
use super::{Chance, Report, Setting, Twin, number_from_env, verify};

/// Longest time that a process writes.
const WRITE_MS_MAX: u64 = 60;
/// Longest time from the start of a process that is killed without having answered.
const START_MS_MAX: u64 = 25;

/// Kills a writing process with SIGKILL, again and again, a quarter of the time while it opens or
/// recovers the store; `rounds` times, or as often as `UNISTORE_KILL_ROUNDS` says.
///
/// # Errors
/// What was lost or torn.
pub async fn kills(setting: &dyn Setting, rounds: u64) -> Result<Report, String> {
    let rounds = number_from_env("UNISTORE_KILL_ROUNDS", rounds);
    let workload = setting.workload(number_from_env("UNISTORE_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    setting.prepare(folder.path()).await?;
    let served = setting.serve(folder.path()).await?;
    let mut twin = Twin::new(workload);
    let mut chance = Chance::new(workload.seed);
    let mut in_flight = 0;
    for round in 0..rounds {
        let first = twin.steps();
        let mut writer = Writer::start(setting, &served.location, workload, first);
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
        verify(
            setting,
            &served.location,
            &mut twin,
            acknowledged,
            acknowledged + 1,
        )
        .await
        .map_err(|e| format!("round {round}: {e}"))?;
        in_flight += twin.steps() - acknowledged;
    }
    Ok(format!(
        "{rounds} kills, {} steps acknowledged and present, {in_flight} in flight and whole",
        twin.steps() - in_flight
    ))
}
