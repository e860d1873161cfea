//! Real losses of power: a file system on a loop device in memory is taken off its disk under a
//! writing process. What the kernel had not been made to write is gone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use storage_core::ManualClock;
use tempfile::TempDir;

use crate::chance::Chance;
use crate::shutdown::cut_power;
use crate::store::Setting;
use crate::workload::{Twin, Workload};
use crate::writer::Writer;
use crate::{Report, number_from_env};

const CUTS: u64 = 60;
/// Cuts on one file system: after the first, the store exists and is recovered.
const CUTS_PER_IMAGE: u64 = 4;
/// A setting that is known to lose does so within this many cuts.
const CUTS_TO_LOSE_MAX: u64 = 20;
/// Longest times that a process writes; which one is up to chance.
const WRITE_MS_MAX: [u64; 5] = [30, 80, 150, 300, 600];
const IMAGE_BYTES: u64 = 512 << 20;
/// How often unmounting is tried while the killed process lets go.
const UNMOUNT_TRIES: usize = 250;

pub(crate) async fn none_loses(setting: Setting) -> Result<Report, String> {
    if let Some(report) = switched_off() {
        return Ok(report);
    }
    let cuts = number_from_env("UNISTORE_POWER_CUTS", CUTS);
    let mut runner = Runner::new(setting)?;
    for cut in 0..cuts {
        runner.cut().await.map_err(|e| format!("cut {cut}: {e}"))?;
    }
    Ok(format!(
        "{cuts} cuts on {} file systems, {} steps acknowledged, none lost",
        runner.images, runner.acknowledged
    ))
}

pub(crate) async fn must_lose(setting: Setting) -> Result<Report, String> {
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

struct Runner {
    setting: Setting,
    chance: Chance,
    disk: Option<LoopDisk>,
    twin: Twin,
    cuts: u64,
    images: u64,
    acknowledged: u64,
    /// The last cut came as far as opening the store again.
    store_was_read: bool,
}

impl Runner {
    fn new(setting: Setting) -> Result<Self, String> {
        let seed = number_from_env("UNISTORE_SEED", 1);
        if !rustix::process::geteuid().is_root() {
            return Err(cannot("it takes root to mount a file system"));
        }
        Ok(Self {
            setting,
            chance: Chance::new(seed),
            disk: None,
            twin: Twin::new(workload(seed)),
            cuts: 0,
            images: 0,
            acknowledged: 0,
            store_was_read: false,
        })
    }

    async fn cut(&mut self) -> Result<(), String> {
        self.store_was_read = false;
        if self.cuts.is_multiple_of(CUTS_PER_IMAGE) {
            self.disk = None;
            self.disk = Some(LoopDisk::new()?);
            self.images += 1;
            self.twin = Twin::new(workload(self.chance.below(u64::MAX)));
        }
        self.cuts += 1;
        let disk = self.disk.as_ref().ok_or("there is no disk")?;
        disk.mount()?;
        let first = self.twin.steps;
        let mut writer = Writer::start(self.setting, disk.folder(), self.twin.workload(), first);
        writer.first_answer().await;
        let time_max = WRITE_MS_MAX[self.chance.below(5) as usize];
        let time = Duration::from_millis(self.chance.below(time_max));
        writer.let_write(time).await;
        let acknowledged = writer.acknowledged();
        cut_power(disk.folder()).map_err(|e| cannot(&format!("the ioctl fails: {e}")))?;
        let made_max = writer.kill() + 1;
        disk.unmount()?;
        disk.mount()?;
        self.store_was_read = true;
        let opened = self
            .setting
            .open(disk.folder(), Arc::new(ManualClock::default()));
        let store = opened.map_err(|e| format!("the store does not open: {e:?}"))?;
        store.verify(&mut self.twin, acknowledged, made_max).await?;
        self.acknowledged += acknowledged - first;
        drop(store);
        disk.unmount()
    }
}

fn workload(seed: u64) -> Workload {
    Workload {
        seed,
        value_bytes_max: 120_000,
    }
}

/// An ext4 file system in a file in memory.
struct LoopDisk {
    image: PathBuf,
    folder: TempDir,
}

impl LoopDisk {
    fn new() -> Result<Self, String> {
        let name = format!("unistore-power-cut-{}.img", std::process::id());
        let disk = Self {
            image: Path::new("/dev/shm").join(name),
            folder: tempfile::tempdir().map_err(|e| cannot(&e.to_string()))?,
        };
        let file = std::fs::File::create(&disk.image);
        file.and_then(|file| file.set_len(IMAGE_BYTES))
            .map_err(|e| cannot(&format!("{}: {e}", disk.image.display())))?;
        let image = disk.image.as_os_str();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=1"])
            .arg(image))?;
        Ok(disk)
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        run(mount
            .args(["-o", "loop"])
            .arg(&self.image)
            .arg(self.folder()))
    }

    fn unmount(&self) -> Result<(), String> {
        let mut last = Ok(());
        for _ in 0..UNMOUNT_TRIES {
            last = run(Command::new("umount").arg(self.folder()));
            if last.is_ok() {
                break;
            }
            // The kernel offers nothing to wait for.
            std::thread::sleep(Duration::from_millis(20));
        }
        last
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Mounted only when a cut failed.
        let mut unmount = Command::new("umount");
        unmount.arg("-l").arg(self.folder()).output().ok();
        std::fs::remove_file(&self.image).ok();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|e| cannot(&format!("{command:?}: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(cannot(&format!("{command:?}: {}", stderr.trim())))
}

fn cannot(why: &str) -> String {
    format!("{why}; power cuts need root, loop devices and mkfs.ext4, or UNISTORE_POWERCUT=off")
}
