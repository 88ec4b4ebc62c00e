//! The only way to a server: dial, seal, log in.

mod attempt;
mod cancel;
mod certificate;
mod condition;
mod connector;
mod credential;
mod deadline;
mod diagnosis;
mod dial;
mod expiry;
mod facts;
mod frames;
mod hello;
mod loan;
mod login;
mod plain_pool;
mod providers;
mod pulse;
mod refusal;
mod renewal;
mod role;
mod seal;
mod sense;
mod startup;
mod stream;
mod traces;
mod traffic;
mod words;

pub use cancel::{CancelError, CancelHandle, CancelOutcome};
pub use certificate::Certificate;
pub use connector::Connector;
pub use credential::{Password, PasswordRequest};
pub use facts::{ChannelBinding, KeyExchangeGroup, TlsSession, TlsVersion};

pub(crate) use condition::{Condition, Turn};
pub(crate) use connector::Opened;
pub(crate) use credential::Credentials;
pub(crate) use loan::Loan;
pub(crate) use startup::Parting;
