//! The only way to a server: dial, seal, log in.

mod attempt;
mod breaker;
mod cancel;
mod certificate;
mod complaint;
mod condition;
mod connector;
mod credential;
mod deadline;
mod diagnosis;
mod dial;
mod doctor;
mod endpoint;
mod expiry;
mod facts;
mod failures;
mod findings;
mod frames;
mod hello;
mod loan;
mod login;
mod losses;
mod mailbox;
mod mark;
mod plain_pool;
mod probe;
mod providers;
mod pulse;
mod reconfiguration;
mod refusal;
mod renewal;
mod resolver;
mod role;
mod seal;
mod sense;
mod signs;
mod startup;
mod statements;
mod stream;
mod traces;
mod traffic;
mod wire;
mod words;

pub use cancel::{CancelError, CancelHandle, CancelOutcome};
pub use certificate::Certificate;
pub use connector::Connector;
pub use credential::{Password, PasswordRequest};
pub use expiry::CertificateInUse;
pub use facts::{ChannelBinding, KeyExchangeGroup, TlsSession, TlsVersion};
pub use findings::{
    AddressDiagnosis, Check, Diagnosis, Finding, Level, PlaintextProbe, ServerFacts,
};
pub use mailbox::Heard;
pub use mark::{Mark, Outcome};

pub(crate) use condition::{Condition, Turn};
pub(crate) use connector::{Duty, Opened};
pub(crate) use credential::Credentials;
pub(crate) use endpoint::Endpoint;
pub(crate) use failures::Failures;
pub(crate) use loan::Loan;
pub(crate) use losses::Losses;
pub(crate) use mailbox::Mailbox;
pub(crate) use resolver::Resolver;
pub(crate) use startup::Parting;
pub(crate) use words::betrays;
