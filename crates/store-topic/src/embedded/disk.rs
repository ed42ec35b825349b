use std::fs::File;
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
        if let Some(room) = self.faults.room_for(bytes.len()) {
            file.write_all_at(&bytes[..room], position)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, position)
    }

    /// Makes the contents and the length of `file` durable.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_sync()?;
        file.sync_data()
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
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    #[derive(Debug, Default)]
    pub(in crate::embedded) struct Faults {
        /// Bytes that still fit on the disk; `None`: it never fills.
        pub(in crate::embedded) room_bytes: Mutex<Option<usize>>,
        pub(in crate::embedded) sync_fails: AtomicBool,
        pub(in crate::embedded) syncs: AtomicU64,
        /// Syncs do not end as long as this is true.
        pub(in crate::embedded) sync_waits: AtomicBool,
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

        pub(super) fn on_sync(&self) -> io::Result<()> {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            while self.sync_waits.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            match self.sync_fails.load(Ordering::Relaxed) {
                true => Err(io::Error::other("the disk is gone")),
                false => Ok(()),
            }
        }
    }
}
