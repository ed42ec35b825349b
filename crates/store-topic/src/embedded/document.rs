//! Small text files that are only ever replaced whole: what it is and in which version, one
//! `name value` per line, a checksum.
//!
//! ```text
//! twinfold progress 1
//! 0 1200
//! 1 1180
//! crc32c 5d1f0a33
//! ```

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::disk::{Disk, io_error};
use crate::{Error, Result};

const VERSION: u32 = 1;

/// The fields of a document, in the order they are written in.
pub(super) type Fields = Vec<(String, u64)>;

/// Replaces the document at `path` whole: after a crash the old or the new one is there.
pub(super) fn replace(disk: &Disk, path: &Path, kind: &str, fields: &Fields) -> Result<()> {
    let folder = path.parent().expect("a document lies in a folder");
    let name = path.file_name().expect("a document has a name");
    let new = folder.join(format!(".new-{}", name.to_string_lossy()));
    let made = File::create(&new).and_then(|file| {
        disk.write_all_at(&file, render(kind, fields).as_bytes(), 0)?;
        disk.sync(&file)?;
        fs::rename(&new, path)
    });
    made.inspect_err(|_| {
        // On a full disk it would take room that others need.
        let _ = fs::remove_file(&new);
    })
    .map_err(io_error(path))?;
    disk.sync_folder(folder)
}

/// The document at `path`, `None` when there is none.
pub(super) fn read(path: &Path, kind: &str) -> Result<Option<Fields>> {
    match fs::read(path) {
        Ok(bytes) => parse(&bytes, kind, path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path)(error)),
    }
}

pub(super) fn field(fields: &Fields, name: &str) -> Option<u64> {
    fields
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| *value)
}

pub(super) fn required(fields: &Fields, name: &str, path: &Path) -> Result<u64> {
    field(fields, name).ok_or_else(|| corrupt(path, format!("`{name}` is missing")))
}

pub(super) fn corrupt(path: &Path, reason: impl Into<String>) -> Error {
    Error::Corrupt {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

fn render(kind: &str, fields: &Fields) -> String {
    let mut text = format!("twinfold {kind} {VERSION}\n");
    for (name, value) in fields {
        writeln!(text, "{name} {value}").expect("a String takes any text");
    }
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "crc32c {checksum:08x}").expect("a String takes any text");
    text
}

fn parse(bytes: &[u8], kind: &str, path: &Path) -> Result<Fields> {
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt(path, "it is not text"))?;
    let first = text.lines().next().unwrap_or_default();
    let version = first
        .strip_prefix(&format!("twinfold {kind} "))
        .and_then(|version| version.parse::<u32>().ok())
        .ok_or_else(|| corrupt(path, format!("it is no `{kind}` file")))?;
    // Before the checksum: a newer version may have another one.
    if version > VERSION {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            found: version,
            supported: VERSION,
        });
    }
    let checksum_at = text
        .rfind("crc32c ")
        .ok_or_else(|| corrupt(path, "its checksum is missing"))?;
    let (body, checksum) = text.split_at(checksum_at);
    if checksum != format!("crc32c {:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return Err(corrupt(path, "its checksum does not match"));
    }
    body.lines()
        .skip(1)
        .map(|line| {
            line.split_once(' ')
                .and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .ok_or_else(|| corrupt(path, format!("`{line}` is no `name value`")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_replaced_whole_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("topic");
        assert_eq!(read(&path, "topic").unwrap(), None);
        let fields = vec![("partitions".to_owned(), 4), ("end".to_owned(), u64::MAX)];
        replace(&Disk::default(), &path, "topic", &vec![("a".to_owned(), 1)]).unwrap();
        replace(&Disk::default(), &path, "topic", &fields).unwrap();
        assert_eq!(read(&path, "topic").unwrap(), Some(fields));
        assert!(matches!(
            read(&path, "progress"),
            Err(Error::Corrupt { .. })
        ));
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let text = b"twinfold topic 2\nwhat ever\n";
        let error = parse(text, "topic", Path::new("t")).unwrap_err();
        assert!(
            matches!(error, Error::NewerFormat { found: 2, .. }),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_change_to_a_document_is_noticed(at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
            let fields = vec![("0".to_owned(), 1200), ("1".to_owned(), 1180)];
            let mut bytes = render("progress", &fields).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let found = parse(&bytes, "progress", Path::new("p"));
            prop_assert!(found.is_err(), "{found:?}");
        }
    }
}
