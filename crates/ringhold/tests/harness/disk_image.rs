//! A disk of its own for every node.
//!
//! A disk is a sparse file with an ext4 file system, mounted through a loop device. That makes it small enough to
//! fill up, and lets it lose its power: ext4's shutdown (as `xfs_io` asks for it, without flushing the
//! journal) drops at once whatever was not flushed and fails everything from then on; unmounting and mounting
//! again replays the journal as a boot would. What `fsync` had confirmed is there, the rest is gone.
//!
//! Where images can't be mounted, a plain folder stands in, without power cuts and full disks.

use crate::tools::{self, Missing};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Sparse: what is never written takes no room.
pub(crate) const BYTES_DEFAULT: u64 = 256 * 1024 * 1024;
const MOUNT_TRIES: usize = 5;
const BALLAST: &str = "ballast";
const BALLAST_PIECE_BYTES: usize = 64 * 1024;

/// Where one node keeps its data.
#[derive(Debug)]
pub(crate) enum Disk {
    Image { image: PathBuf, mounted: PathBuf },
    Folder(PathBuf),
}

impl Disk {
    /// Makes a disk `name` in a folder, with a file system, mounted.
    ///
    /// # Errors
    /// If the machine doesn't let us; what was made is gone with the folder.
    pub(crate) fn image(folder: &Path, name: &str, bytes: u64) -> Result<Self, Missing> {
        tools::is_root()?;
        let unusable = |error| Missing(format!("{}: {error}", folder.display()));
        let (image, mounted) = (
            folder.join(format!("{name}.image")),
            folder.join(format!("{name}.disk")),
        );
        fs::create_dir(&mounted).map_err(unusable)?;
        let file = File::create(&image).map_err(unusable)?;
        file.set_len(bytes).map_err(unusable)?;
        tools::run("mkfs.ext4", &["-q", "-F", &text(&image)])?;
        mount(&image, &mounted)?;
        Ok(Self::Image { image, mounted })
    }

    pub(crate) fn folder(folder: &Path, name: &str) -> Result<Self, Missing> {
        let path = folder.join(format!("{name}.disk"));
        fs::create_dir(&path).map_err(|error| Missing(format!("{}: {error}", path.display())))?;
        Ok(Self::Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Image { mounted, .. } => mounted,
            Self::Folder(path) => path,
        }
    }

    /// Cuts the power: nothing more reaches the disk, and what had not, never will. The process that uses it
    /// must stand still, since a flush may now succeed that wrote nothing, and be gone before [`Disk::boot`].
    pub(crate) fn cut_power(&self) -> Result<(), Missing> {
        match self {
            Self::Image { mounted, .. } => {
                tools::run("xfs_io", &["-x", "-c", "shutdown", &text(mounted)])
            }
            Self::Folder(_) => Err(Missing("a folder has no power to cut".to_owned())),
        }
    }

    /// Mounts the disk anew, as a boot does.
    pub(crate) fn boot(&self) -> Result<(), Missing> {
        match self {
            Self::Image { image, mounted } => {
                tools::run("umount", &[mounted])?;
                mount(image, mounted)
            }
            Self::Folder(_) => Err(Missing("a folder is always there".to_owned())),
        }
    }

    /// Fills the disk to its last block. Returns the bytes that were free.
    pub(crate) fn fill(&self) -> std::io::Result<usize> {
        let mut ballast = File::create(self.path().join(BALLAST))?;
        let mut written = 0;
        // The last blocks go one by one: nodes write small pieces, too.
        for piece in [BALLAST_PIECE_BYTES, 512] {
            while let Ok(bytes) = ballast.write(&vec![0x5a; piece]) {
                written += bytes;
            }
        }
        Ok(written)
    }

    /// Fills the disk until so many per cent are in use, as `df` reckons.
    pub(crate) fn fill_to(&self, percent: u64) -> std::io::Result<()> {
        let shape = rustix::fs::statvfs(self.path())?;
        let used = shape.f_blocks - shape.f_bfree;
        let wanted = (used + shape.f_bavail) * percent / 100;
        let bytes = wanted.saturating_sub(used) * shape.f_frsize;
        let ballast = File::create(self.path().join(BALLAST))?;
        rustix::fs::fallocate(
            &ballast,
            rustix::fs::FallocateFlags::empty(),
            0,
            bytes.max(1),
        )?;
        Ok(())
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.path().join(BALLAST)).ok();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Image { mounted, .. } = self
            && let Err(error) = tools::run("umount", &[mounted])
        {
            eprintln!("a disk image is left mounted: {error}");
        }
    }
}

/// Whoever else mounts an image at this moment may take the loop device that `mount` found free.
fn mount(image: &Path, mounted: &Path) -> Result<(), Missing> {
    let (image, mounted) = (text(image), text(mounted));
    let once = || tools::run("mount", &["-o", "loop", &image, &mounted]);
    (1..MOUNT_TRIES).fold(once(), |tried, _| tried.or_else(|_| once()))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Unmounts what a run that is gone left mounted below a folder.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|kind| kind == "disk") {
            // A folder that is no mount is refused, which is as well.
            tools::run("umount", &[&path]).ok();
        }
    }
}
