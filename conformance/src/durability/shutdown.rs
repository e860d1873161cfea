use std::fs::File;
use std::io;
use std::path::Path;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `EXT4_IOC_SHUTDOWN`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);
/// Nothing that is only in memory reaches the disk, the journal neither.
const NO_LOG_FLUSH: u32 = 2;

/// Cuts off the file system that is mounted at `folder`, as a loss of power does: from now on
/// nothing reaches its disk.
pub(super) fn cut_power(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    #[expect(unsafe_code, reason = "no safe wrapper of this ioctl exists")]
    // SAFETY: the ioctl reads one 32-bit number through the pointer, which the setter gives it.
    unsafe {
        ioctl(folder, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH))?;
    }
    Ok(())
}

const _: () = assert!(SHUTDOWN == 0x8004_587d);
