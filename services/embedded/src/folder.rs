//! The folder that holds an embedded platform: its lock, its format, its parts.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use twinfold_client::{Error, Result};
use twinfold_model::Error as ModelError;
use twinfold_service_kit::StoreUrl;

use crate::config::StoresConfig;

/// Increases when an older version of the software could not read the folder.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "twinfold.format";
const LOCK_FILE: &str = "twinfold.lock";

/// An opened folder. While it lives no other process can open it.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Holds the lock; the system releases it when the process ends, however it does.
    lock: File,
}

impl Folder {
    /// Makes the folder if need be, locks it, checks its format.
    pub fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(|error| failed(root, error))?;
        let root = fs::canonicalize(root).map_err(|error| failed(root, error))?;
        check_ours(&root)?;
        let lock_path = root.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(|error| failed(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    what: "the platform's folder".into(),
                    path: root.display().to_string(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path, error)),
        }
        check_format(&root)?;
        Ok(Self { root, lock })
    }

    /// Lets another process in, although this value still lives.
    pub fn release(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(root = %self.root.display(), %error, "the folder stays locked until the process ends");
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the configuration says the stores are; below this folder unless it names a server.
    pub fn stores(&self, configured: &StoresConfig) -> StoresConfig {
        let below = |url: &StoreUrl, scheme: &str, name: &str| {
            if url.is_empty() {
                StoreUrl::from(format!("{scheme}://{}", self.root.join(name).display()))
            } else {
                url.clone()
            }
        };
        StoresConfig {
            metadata: below(&configured.metadata, "sqlite", "metadata.sqlite"),
            topic: below(&configured.topic, "file", "topic"),
            online: below(&configured.online, "file", "online"),
            offline: below(&configured.offline, "file", "offline"),
        }
    }
}

/// An empty folder, or one that a platform made: among the files of others ours would be lost.
fn check_ours(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).map_err(|error| failed(root, error))? {
        let entry = entry.map_err(|error| failed(root, error))?;
        if entry.file_name() == LOCK_FILE || entry.file_name() == FORMAT_FILE {
            return Ok(());
        }
    }
    let mut entries = fs::read_dir(root).map_err(|error| failed(root, error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::Invalid(ModelError::InvalidConfig {
            reason: format!(
                "{} has files of others, wanted an empty folder or one of a platform",
                root.display()
            ),
        })),
    }
}

fn check_format(root: &Path) -> Result<()> {
    let path = root.join(FORMAT_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return write_format(&path).map_err(|error| failed(&path, error));
        }
        Err(error) => return Err(failed(&path, error)),
    };
    let found: u32 = text.trim().parse().map_err(|_| {
        failed(
            &path,
            io::Error::other(format!("found `{}`, wanted a format number", text.trim())),
        )
    })?;
    if found > FORMAT {
        return Err(Error::NewerFormat {
            path: root.display().to_string(),
            found,
            supported: FORMAT,
        });
    }
    Ok(())
}

fn write_format(path: &Path) -> io::Result<()> {
    // Renamed when complete: a crash in between must not leave a file that cannot be read.
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::dependency(
        "platform folder",
        true,
        io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_opened_by_one_at_a_time() {
        let temp = tempfile::tempdir().expect("temp folder");
        let first = Folder::open(temp.path()).expect("fresh");
        assert!(matches!(
            Folder::open(temp.path()),
            Err(Error::Locked { .. })
        ));
        drop(first);
        Folder::open(temp.path()).expect("free again");
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused() {
        let temp = tempfile::tempdir().expect("temp folder");
        drop(Folder::open(temp.path()).expect("fresh"));
        fs::write(temp.path().join(FORMAT_FILE), "2\n").expect("write");
        let error = Folder::open(temp.path()).expect_err("newer");
        assert!(
            matches!(
                error,
                Error::NewerFormat {
                    found: 2,
                    supported: 1,
                    ..
                }
            ),
            "{error}"
        );
        fs::write(temp.path().join(FORMAT_FILE), "what\n").expect("write");
        let error = Folder::open(temp.path()).expect_err("damaged").to_string();
        assert!(error.contains("found `what`"), "{error}");
    }
}
