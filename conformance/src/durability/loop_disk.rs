use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

const IMAGE_BYTES: u64 = 512 << 20;
/// How often unmounting is tried while the killed processes let go.
const UNMOUNT_TRIES: usize = 250;

/// An ext4 file system in a file in memory.
#[derive(Debug)]
pub(super) struct LoopDisk {
    image: PathBuf,
    folder: TempDir,
}

impl LoopDisk {
    pub(super) fn new() -> Result<Self, String> {
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

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        run(mount
            .args(["-o", "loop"])
            .arg(&self.image)
            .arg(self.folder()))
    }

    pub(super) fn unmount(&self) -> Result<(), String> {
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

pub(super) fn cannot(why: &str) -> String {
    format!("{why}; power cuts need root, loop devices and mkfs.ext4, or UNISTORE_POWERCUT=off")
}
