/// Why a literal does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Dialect,
    Duplicate,
    Grammar,
    Host,
    Key,
    NoHost,
    Password,
    Plaintext,
    RootRequired,
    Socket,
    Template,
    Unverified,
    Value,
}

impl Refusal {
    #[track_caller]
    pub(super) const fn panic(self) -> ! {
        match self {
            Self::Dialect => {
                panic!(
                    "not a plain libpq string: write it as a `postgresql://user@host/database` URI"
                )
            }
            Self::Duplicate => {
                panic!("one key is said twice: keep one of them, none wins because it comes last")
            }
            Self::Grammar => panic!(
                "a character that the check at compile time does not take: write plain letters and digits, or parse \
                 the string with `Dsn::parse` at run time"
            ),
            Self::Host => {
                panic!("a host is no host name or its port is no port: write `db.example.net:5432`")
            }
            Self::Key => panic!(
                "a key that the check at compile time does not know: correct it, or set it in the configuration"
            ),
            Self::NoHost => panic!("no host: name the host that is in the server's certificate"),
            Self::Password => panic!(
                "a secret in a literal: remove it, and give it to the configuration from the environment or a secret store"
            ),
            Self::Plaintext => {
                panic!("it permits plaintext: remove the word or write `sslmode=verify-full`")
            }
            Self::RootRequired => panic!(
                "`sslmode=verify-ca` without a root of its own: add `sslrootcert=/path/to/ca.pem`, or write \
                 `sslmode=verify-full`"
            ),
            Self::Socket => panic!(
                "a Unix socket has no TLS: name the host that is in the server's certificate"
            ),
            Self::Template => {
                panic!("a template that nobody filled in: put the real value in its place")
            }
            Self::Unverified => {
                panic!("TLS without verification: name the root as `sslrootcert=/path/to/ca.pem`")
            }
            Self::Value => panic!(
                "a value that its key cannot have: TLS words are `require`, `verify-ca` and `verify-full`"
            ),
        }
    }
}
