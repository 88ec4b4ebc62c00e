mod bytes;
mod check;
mod refusal;
mod settings;

use check::check;

/// A literal that [`dsn!`](crate::dsn) has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedDsn(&'static str);

impl CheckedDsn {
    /// Checks a literal. In a constant, which [`dsn!`](crate::dsn) makes of it, a refusal is a compile error.
    ///
    /// # Panics
    /// If [`CheckedDsn::try_new`] would answer `None`, with a sentence that says what to write instead.
    #[must_use]
    #[track_caller]
    pub const fn new(text: &'static str) -> Self {
        match check(text) {
            Ok(()) => Self(text),
            Err(refusal) => refusal.panic(),
        }
    }

    /// As [`CheckedDsn::new`], without panic. What is accepted here, [`Dsn::parse`](crate::Dsn::parse) accepts too.
    #[must_use]
    pub const fn try_new(text: &'static str) -> Option<Self> {
        match check(text) {
            Ok(()) => Some(Self(text)),
            Err(_) => None,
        }
    }

    /// The literal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Checks a connection string while it is compiled and evaluates to a [`CheckedDsn`].
///
/// It takes what a constant can be: a literal, `env!`, `concat!`, `include_str!`. It reads libpq URIs and plain
/// keyword/value strings without quotes; what it accepts, [`Dsn::parse`](crate::Dsn::parse) accepts, and it refuses more.
/// A password does not compile: a binary is no place for it. Give it to the configuration from the environment or a
/// secret store.
///
/// ```
/// let dsn = sealpool_dsn::dsn!("postgresql://app@db.example.net:5432/shop?application_name=orders");
/// assert_eq!(sealpool_dsn::Dsn::parse(dsn.as_str()).map(|dsn| dsn.hosts.len()), Ok(1));
/// ```
///
/// Plaintext:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql://app@db.example.net/shop?sslmode=prefer");
/// ```
/// No verification:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql://app@db.example.net/shop?sslmode=no-verify");
/// ```
/// A password:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql://app:Winter-9Kq@db.example.net/shop");
/// ```
/// One key twice:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql://app@db.example.net/shop?sslmode=require&sslmode=verify-full");
/// ```
/// A Unix socket:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("host=/var/run/postgresql dbname=shop");
/// ```
/// No host:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql:///shop");
/// ```
/// `verify-ca` without a root:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("host=db.example.net sslmode=verify-ca");
/// ```
/// A key it does not know:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("host=db.example.net sslmod=require");
/// ```
/// A value that the key cannot have:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("host=db.example.net sslmode=verify-all");
/// ```
/// A template that nobody filled in:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql://your_user@db.example.net/shop");
/// ```
/// Another dialect:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("Server=db.example.net;Database=shop");
/// ```
/// Characters outside the plain grammar:
/// ```compile_fail,E0080
/// sealpool_dsn::dsn!("postgresql://app@db.example.net/shop#main");
/// ```
#[macro_export]
macro_rules! dsn {
    ($text:expr $(,)?) => {{
        const CHECKED: $crate::CheckedDsn = $crate::CheckedDsn::new($text);
        CHECKED
    }};
}
