//! What is done to the disk, in one place so that a test can make it fail.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Error, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub faults: std::sync::Arc<faults::Faults>,
}

impl Disk {
    pub fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.note_write(file, position, bytes.len());
        #[cfg(test)]
        if let Some(room) = self.faults.room_for(bytes.len()) {
            file.write_all_at(&bytes[..room], position)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, position)
    }

    /// Makes the content and the length of a file durable.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_sync(file)?;
        file.sync_data()
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, folder: &Path) -> Result<()> {
        #[cfg(test)]
        self.faults.on_sync_folder().map_err(Error::io(folder))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io(folder))
    }

    /// Puts `bytes` at `path` so that a crash leaves either the old content or the new.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = path.with_extension("tmp");
        let made = File::create(&temporary).and_then(|file| {
            self.write_all_at(&file, bytes, 0)?;
            self.sync(&file)?;
            fs::rename(&temporary, path)
        });
        made.inspect_err(|_| {
            // On a full disk it would take room that others need.
            let _ = fs::remove_file(&temporary);
        })
        .map_err(Error::io(path))?;
        self.sync_folder(path.parent().unwrap_or(path))
    }
}

/// The content of a file, `None` when it does not exist.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod faults {
    use std::collections::HashMap;
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// What has become of a byte that was written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Byte {
        InCache,
        /// A sync failed: the system takes its page for written and will not write it.
        GivenUp,
        OnDisk,
    }

    #[derive(Debug, Default)]
    pub struct Faults {
        /// Bytes that still fit on the disk; `None`: it never fills.
        room_bytes: Mutex<Option<usize>>,
        sync_fails: AtomicBool,
        sync_folder_fails: AtomicBool,
        /// By inode, as a file keeps its pages when it gets another name.
        files: Mutex<HashMap<u64, Vec<Byte>>>,
    }

    impl Faults {
        pub fn leave_room(&self, bytes: Option<usize>) {
            *self.room_bytes.lock().unwrap() = bytes;
        }

        pub fn fail_syncs(&self, fails: bool) {
            self.sync_fails.store(fails, Ordering::Relaxed);
        }

        pub fn fail_folder_syncs(&self, fails: bool) {
            self.sync_folder_fails.store(fails, Ordering::Relaxed);
        }

        /// What the file would hold if the power went now: zeros where the disk has nothing.
        pub fn content_after_power_loss(&self, path: &Path) -> Vec<u8> {
            let mut content = fs::read(path).unwrap();
            let inode = fs::metadata(path).unwrap().ino();
            let files = self.files.lock().unwrap();
            let written = files.get(&inode).map_or(&[][..], Vec::as_slice);
            for (byte, state) in content.iter_mut().zip(written) {
                if *state != Byte::OnDisk {
                    *byte = 0;
                }
            }
            content
        }

        pub(super) fn room_for(&self, bytes: usize) -> Option<usize> {
            let mut room = self.room_bytes.lock().unwrap();
            match *room {
                Some(left) if left < bytes => Some(std::mem::take(room.as_mut().unwrap())),
                Some(left) => {
                    *room = Some(left - bytes);
                    None
                }
                None => None,
            }
        }

        pub(super) fn note_write(&self, file: &File, position: u64, count: usize) {
            let (start, inode) = (position as usize, file.metadata().unwrap().ino());
            let mut files = self.files.lock().unwrap();
            let bytes = files.entry(inode).or_default();
            if bytes.len() < start + count {
                bytes.resize(start + count, Byte::OnDisk);
            }
            bytes[start..start + count].fill(Byte::InCache);
        }

        pub(super) fn on_sync(&self, file: &File) -> io::Result<()> {
            let fails = self.sync_fails.load(Ordering::Relaxed);
            let inode = file.metadata().unwrap().ino();
            let mut files = self.files.lock().unwrap();
            for byte in files.entry(inode).or_default() {
                if *byte == Byte::InCache {
                    *byte = if fails { Byte::GivenUp } else { Byte::OnDisk };
                }
            }
            failed(fails)
        }

        pub(super) fn on_sync_folder(&self) -> io::Result<()> {
            failed(self.sync_folder_fails.load(Ordering::Relaxed))
        }
    }

    fn failed(fails: bool) -> io::Result<()> {
        match fails {
            true => Err(io::Error::other("the disk is gone")),
            false => Ok(()),
        }
    }
}
