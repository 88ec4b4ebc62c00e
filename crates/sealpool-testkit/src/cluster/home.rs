use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use super::account::Account;
use crate::{Error, random};

/// The folder of one cluster, closed to everyone but the server's user: configuration, certificates, data.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    account: Option<Account>,
}

impl Home {
    pub(crate) fn create() -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("sealpool-{}", random::hex::<8>()));
        let home = Self {
            folder,
            account: Account::for_server(),
        };
        let folder = home.folder();
        DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .map_err(Error::file("make the folder", folder))?;
        home.hand_over(folder)?;
        Ok(home)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What the server says when it accepts connections.
    pub(crate) fn ready(&self) -> &'static str {
        match self.data().join("standby.signal").exists() {
            true => "database system is ready to accept read-only connections",
            false => "database system is ready to accept connections",
        }
    }

    /// Makes a folder within the data folder, or that itself.
    pub(crate) fn make_data(&self, name: &str) -> Result<(), Error> {
        let folder = self.data().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(Error::file("make the folder", &folder))?;
        self.hand_over(&folder)
    }

    pub(crate) fn write_data(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), Error> {
        self.create_file(&self.data().join(name), content.as_ref())
    }

    /// Replaces a file in one step, so that the server reads either the old or the new one.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.path(name);
        let new = self.path(&format!("{name}.new"));
        self.create_file(&new, content.as_bytes())?;
        fs::rename(&new, &path).map_err(Error::file("replace", path))
    }

    fn create_file(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(content))
            .map_err(Error::file("write", path))?;
        self.hand_over(path)
    }

    fn hand_over(&self, path: &Path) -> Result<(), Error> {
        match &self.account {
            Some(account) => chown(path, Some(account.uid), Some(account.gid))
                .map_err(Error::file("give to the user nobody", path)),
            None => Ok(()),
        }
    }
}

/// The supervisor of the server has removed it already, unless there never was one or the server's user may not remove
/// folders from the temporary folder.
impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
