use std::time::Duration;

use super::loop_disk::{LoopDisk, cannot};
use super::shutdown::cut_power;
use super::writer::Writer;
use super::{Chance, Report, Setting, Twin, number_from_env, verify};

/// Cuts on one file system: after the first, the store exists and is recovered.
const CUTS_PER_IMAGE: u64 = 4;
/// A setting that is known to lose does so within this many cuts.
const CUTS_TO_LOSE_MAX: u64 = 20;
/// Longest times that a process writes; which one is up to chance.
const WRITE_MS_MAX: [u64; 5] = [30, 80, 150, 300, 600];

/// Cuts the power of a writing process `cuts` times, or as often as `UNISTORE_POWER_CUTS` says: a
/// file system on a loop device in memory is taken off its disk, and what the kernel had not been
/// made to write is gone.
///
/// # Errors
/// What was lost or torn; or why the power cannot be cut.
pub async fn power_cuts(setting: &dyn Setting, cuts: u64) -> Result<Report, String> {
    if let Some(report) = switched_off() {
        return Ok(report);
    }
    let cuts = number_from_env("UNISTORE_POWER_CUTS", cuts);
    let mut runner = Runner::new(setting)?;
    for cut in 0..cuts {
        runner.cut().await.map_err(|e| format!("cut {cut}: {e}"))?;
    }
    Ok(format!(
        "{cuts} cuts on {} file systems, {} steps acknowledged, none lost",
        runner.images, runner.acknowledged
    ))
}

/// Cuts the power of a setting that is known to lose by it, until it does.
///
/// # Errors
/// If it does not: then the cuts do not cut.
pub async fn must_lose(setting: &dyn Setting) -> Result<Report, String> {
    if let Some(report) = switched_off() {
        return Ok(report);
    }
    let mut runner = Runner::new(setting)?;
    for cut in 1..=CUTS_TO_LOSE_MAX {
        match runner.cut().await {
            Ok(()) => {}
            Err(loss) if runner.store_was_read => {
                return Ok(format!("{} lost at cut {cut}: {loss}", setting.name()));
            }
            Err(other) => return Err(other),
        }
    }
    Err(format!(
        "{} lost nothing in {CUTS_TO_LOSE_MAX} cuts: the cuts do not cut",
        setting.name()
    ))
}

fn switched_off() -> Option<Report> {
    let off = std::env::var("UNISTORE_POWERCUT").is_ok_and(|value| value == "off");
    off.then(|| "NOT RUN, UNISTORE_POWERCUT=off".into())
}

struct Runner<'a> {
    setting: &'a dyn Setting,
    chance: Chance,
    disk: Option<LoopDisk>,
    twin: Twin,
    cuts: u64,
    images: u64,
    acknowledged: u64,
    /// The last cut came as far as opening the store again.
    store_was_read: bool,
}

impl<'a> Runner<'a> {
    fn new(setting: &'a dyn Setting) -> Result<Self, String> {
        let seed = number_from_env("UNISTORE_SEED", 1);
        if !rustix::process::geteuid().is_root() {
            return Err(cannot("it takes root to mount a file system"));
        }
        Ok(Self {
            setting,
            chance: Chance::new(seed),
            disk: None,
            twin: Twin::new(setting.workload(seed)),
            cuts: 0,
            images: 0,
            acknowledged: 0,
            store_was_read: false,
        })
    }

    async fn cut(&mut self) -> Result<(), String> {
        self.store_was_read = false;
        if self.cuts.is_multiple_of(CUTS_PER_IMAGE) {
            self.new_disk().await?;
        }
        self.cuts += 1;
        let disk = self.disk.as_ref().ok_or("there is no disk")?;
        disk.mount()?;
        let first = self.twin.steps();
        let served = self.setting.serve(disk.folder()).await?;
        let workload = self.twin.workload();
        let mut writer = Writer::start(self.setting, &served.location, workload, first);
        writer.first_answer().await;
        let time_max = WRITE_MS_MAX[self.chance.below(5) as usize];
        let time = Duration::from_millis(self.chance.below(time_max));
        writer.let_write(time).await;
        let acknowledged = writer.acknowledged();
        cut_power(disk.folder()).map_err(|e| cannot(&format!("the ioctl fails: {e}")))?;
        let made_max = writer.kill() + 1;
        drop(served);
        disk.unmount()?;
        disk.mount()?;
        self.store_was_read = true;
        let served = self.setting.serve(disk.folder()).await;
        let served = served.map_err(|e| format!("the store is not served again: {e}"))?;
        let location = &served.location;
        verify(
            self.setting,
            location,
            &mut self.twin,
            acknowledged,
            made_max,
        )
        .await?;
        self.acknowledged += acknowledged - first;
        drop(served);
        disk.unmount()
    }

    async fn new_disk(&mut self) -> Result<(), String> {
        self.disk = None;
        let disk = LoopDisk::new()?;
        disk.mount()?;
        self.setting.prepare(disk.folder()).await?;
        disk.unmount()?;
        self.disk = Some(disk);
        self.images += 1;
        let seed = self.chance.below(u64::MAX);
        self.twin = Twin::new(self.setting.workload(seed));
        Ok(())
    }
}
