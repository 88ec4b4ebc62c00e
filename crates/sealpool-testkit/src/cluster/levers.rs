use std::time::Duration;

use super::log::Miss;
use super::server::Server;
use super::{Cluster, Material, State};
use crate::{Error, Leaf};

const RELOADING: &str = "received SIGHUP, reloading configuration files";
const PATIENCE: Duration = Duration::from_secs(30);

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends all sessions with `57P01` and shuts down in order (SIGINT).
    Fast,
    /// Drops everything as in a crash (SIGQUIT); the next start recovers.
    Immediate,
}

/// Each lever returns when every connection accepted from now on sees the change. If the server does not accept it,
/// everything is put back as it was. On a stopped server a change waits for [`Cluster::start_again`].
impl Cluster {
    /// Sets one of PostgreSQL's parameters. One that needs a restart is refused unless the server is stopped.
    ///
    /// # Errors
    /// When the server refuses the value; the text has its reason.
    pub fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        self.change(|material| material.set(name, value))
    }

    /// Turns TLS off: the server then answers `N`, and nobody can log in through a `hostssl` line.
    ///
    /// # Errors
    /// When the server does not follow.
    pub fn ssl_off(&self) -> Result<(), Error> {
        self.set("ssl", "off")
    }

    /// Turns TLS on again.
    ///
    /// # Errors
    /// When the server does not follow.
    pub fn ssl_on(&self) -> Result<(), Error> {
        self.set("ssl", "on")
    }

    /// Gives the server another certificate, of whatever PKI. Sessions that exist keep theirs.
    ///
    /// # Errors
    /// When the server cannot use it.
    pub fn swap_certificate(&self, leaf: &Leaf) -> Result<(), Error> {
        self.change(|material| material.leaf = leaf.clone())
    }

    /// Replaces the lines of `pg_hba.conf` for everyone but the superuser.
    ///
    /// # Errors
    /// When the server cannot read them.
    pub fn hba(&self, text: &str) -> Result<(), Error> {
        self.change(|material| material.hba = text.to_owned())
    }

    /// Stops and starts.
    ///
    /// # Errors
    /// When the server does not stop or start in time.
    pub fn restart(&self, how: Shutdown) -> Result<(), Error> {
        self.stop(how)?;
        self.start_again()
    }

    /// Stops the server and returns when it and all its children are gone; nothing to do if they are.
    ///
    /// # Errors
    /// When they are not gone in time.
    pub fn stop(&self, how: Shutdown) -> Result<(), Error> {
        let mut state = self.state();
        let start = self.log.len();
        state.server.signal(match how {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        });
        match self.log.wait_for_end(PATIENCE) {
            true => {
                state.stopped = true;
                Ok(())
            }
            false => Err(self.failure("did not stop", self.log.since(start))),
        }
    }

    /// Starts a stopped server on the same port and data; nothing to do if it runs.
    ///
    /// # Errors
    /// When the server does not accept connections in time.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut state = self.state();
        if self.log.is_open() {
            return Ok(());
        }
        let start = self.log.len();
        let server = Server::start(&self.installation, &state.home, &self.log)?;
        std::mem::replace(&mut state.server, server).leave();
        state.stopped = false;
        match self.log.wait_for(start, state.home.ready(), PATIENCE) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.failure("did not start again", self.log.since(start))),
        }
    }

    fn change(&self, edit: impl FnOnce(&mut Material)) -> Result<(), Error> {
        let mut state = self.state();
        let before = state.material.clone();
        edit(&mut state.material);
        let changed = state
            .material
            .write_to(&state.home)
            .and_then(|()| self.reload(&mut state));
        if changed.is_err() {
            state.material = before;
            // The first failure is the one to report.
            let _ = state
                .material
                .write_to(&state.home)
                .and_then(|()| self.reload(&mut state));
        }
        changed
    }

    /// The postmaster has one thread and writes the line when it begins to reload. When it says so for the second time
    /// the first reload is therefore complete, and what went wrong with it stands between the two lines.
    fn reload(&self, state: &mut State) -> Result<(), Error> {
        if state.stopped {
            return Ok(());
        }
        let start = self.log.len();
        state.server.signal("HUP");
        let first = self.reloading(start)?;
        state.server.signal("HUP");
        let second = self.reloading(first)?;
        let between = self.log.between(first, second);
        if between.contains("contains errors") || between.contains("was not reloaded") {
            return Err(self.failure("did not take the new configuration", between));
        }
        Ok(())
    }

    fn reloading(&self, start: usize) -> Result<usize, Error> {
        self.log
            .wait_for(start, RELOADING, PATIENCE)
            .map_err(|miss| {
                let what = match miss {
                    Miss::Gone => "ended instead of reloading its configuration",
                    Miss::Late => "did not reload its configuration in time",
                };
                self.failure(what, self.log.end())
            })
    }
}
