use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Error, Result};

/// The writes of the log, in one place so that a test can make them fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<faults::Faults>,
}

impl Disk {
    pub(super) fn write_all_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.note_write(file, position, bytes.len());
        #[cfg(test)]
        if let Some(room) = self.faults.room_for(bytes.len()) {
            file.write_all_at(&bytes[..room], position)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, position)
    }

    /// Makes the contents and the length of `file` durable.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_sync(file)?;
        file.sync_data()
    }

    /// Removes a file; one that is gone already will do.
    pub(super) fn remove_file(&self, path: &Path) -> Result<()> {
        #[cfg(test)]
        self.faults.on_remove().map_err(io_error(path))?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path)(error)),
            _ => Ok(()),
        }
    }

    /// Makes the entries of a folder durable: files made in it, renamed into it or removed.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<()> {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(folder))
    }
}

/// Reads from `position` on until `buffer` is full or the file ends; answers how much it was.
pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], position + read as u64) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Io {
        path: path.to_owned(),
        source,
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
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    /// What has become of a byte that was written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Byte {
        InCache,
        /// A sync failed: the system takes its page for written and will not write it.
        GivenUp,
        OnDisk,
    }

    #[derive(Debug, Default)]
    pub(in crate::embedded) struct Faults {
        /// Bytes that still fit on the disk; `None`: it never fills.
        pub(in crate::embedded) room_bytes: Mutex<Option<usize>>,
        pub(in crate::embedded) sync_fails: AtomicBool,
        pub(in crate::embedded) syncs: AtomicU64,
        /// Syncs do not end as long as this is true.
        pub(in crate::embedded) sync_waits: AtomicBool,
        pub(in crate::embedded) remove_fails: AtomicBool,
        /// By inode, as a file keeps its pages when it gets another name.
        files: Mutex<HashMap<u64, Vec<Byte>>>,
    }

    impl Faults {
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
            self.syncs.fetch_add(1, Ordering::Relaxed);
            while self.sync_waits.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let fails = self.sync_fails.load(Ordering::Relaxed);
            let inode = file.metadata().unwrap().ino();
            let mut files = self.files.lock().unwrap();
            for byte in files.entry(inode).or_default() {
                if *byte == Byte::InCache {
                    *byte = if fails { Byte::GivenUp } else { Byte::OnDisk };
                }
            }
            match fails {
                true => Err(io::Error::other("the disk is gone")),
                false => Ok(()),
            }
        }

        pub(super) fn on_remove(&self) -> io::Result<()> {
            match self.remove_fails.load(Ordering::Relaxed) {
                true => Err(io::Error::other("the disk is gone")),
                false => Ok(()),
            }
        }

        /// What the file would hold if the power went now: zeros where the disk has nothing.
        pub(in crate::embedded) fn content_after_power_loss(&self, path: &Path) -> Vec<u8> {
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
    }
}
