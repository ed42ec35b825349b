//! A file that is written beside its place and gets its name when all of it is on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::{MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart};

use super::blocking;
use super::folder::{failed, sync_folder};

/// Removed when dropped before it has its name.
#[derive(Debug)]
pub(super) struct Staged {
    /// Shared with parts that are being written.
    file: Arc<File>,
    path: PathBuf,
    target: PathBuf,
    is_named: bool,
}

impl Staged {
    /// A new file next to the target. Listings skip names that end in `#` and digits.
    pub(super) fn beside(target: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(folder_of(&target)?)?;
        let mut attempt = 0_u32;
        loop {
            let mut name = target.as_os_str().to_owned();
            name.push(format!("#{attempt}"));
            let path = PathBuf::from(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        file: Arc::new(file),
                        path,
                        target,
                        is_named: false,
                    });
                }
                // Left behind by a crash, or in use by another writer.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn write(&self, payload: &PutPayload) -> io::Result<()> {
        write_at(&self.file, payload, 0)
    }

    /// Flushes the content, then gives it its name in one step and makes that durable too.
    pub(super) fn publish(mut self, mode: &PutMode) -> io::Result<()> {
        self.file.sync_all()?;
        match mode {
            PutMode::Create => fs::hard_link(&self.path, &self.target)?,
            PutMode::Overwrite => {
                fs::rename(&self.path, &self.target)?;
                self.is_named = true;
            }
            PutMode::Update(_) => return Err(ErrorKind::Unsupported.into()),
        }
        sync_folder(folder_of(&self.target)?)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.is_named {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not delete a staged file");
        }
    }
}

fn folder_of(target: &Path) -> io::Result<&Path> {
    let no_folder = || io::Error::new(ErrorKind::InvalidInput, "a file needs a folder");
    target.parent().ok_or_else(no_folder)
}

fn write_at(file: &File, payload: &PutPayload, mut offset: u64) -> io::Result<()> {
    for bytes in payload {
        file.write_all_at(bytes, offset)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// A file that comes in parts: checkpoints of long tables are too large to be held at once.
#[derive(Debug)]
pub(super) struct Upload {
    /// `None` when it has its name or was given up.
    staged: Option<Staged>,
    /// Where the next part goes.
    end: u64,
}

impl Upload {
    pub(super) fn new(staged: Staged) -> Self {
        Self {
            staged: Some(staged),
            end: 0,
        }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.end;
        self.end += data.content_length() as u64;
        let file = self.staged.as_ref().map(|staged| Arc::clone(&staged.file));
        Box::pin(async move {
            let file = file.ok_or_else(|| failed(over()))?;
            let written = blocking(move || write_at(&file, &data, offset)).await;
            written.map_err(failed)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or_else(|| failed(over()))?;
        let named = blocking(move || staged.publish(&PutMode::Overwrite)).await;
        named.map_err(failed)?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.staged.take();
        blocking(move || drop(staged)).await;
        Ok(())
    }
}

fn over() -> io::Error {
    io::Error::other("the upload is over")
}
