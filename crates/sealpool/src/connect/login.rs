use super::{
    ChannelBinding,
    frames::{Frames, Reader},
    refusal::Refusal,
};
use crate::policy::{self, AuthMethod, Binding, Methods};

/// Follows the messages of a login.
#[derive(Debug, Default)]
pub(super) struct Login {
    server: Frames,
    /// The first bytes of the server's message.
    first: [u8; 4],
    have: usize,
    client: Vec<u8>,
    pub(super) step: Step,
    pub(super) method: Option<AuthMethod>,
    pub(super) binding: Option<ChannelBinding>,
    rules: Option<LoginRules>,
    refusal: Option<Refusal>,
}

/// What the server may ask for in a login.
#[derive(Clone, Debug)]
pub(super) struct LoginRules {
    methods: Methods,
    token: bool,
    binding: Binding,
}

impl LoginRules {
    pub(super) fn new(login: &policy::Login, binding: Binding) -> Self {
        Self {
            methods: login.methods.clone(),
            token: login.token,
            binding,
        }
    }

    /// Judges what the server asks for, before anything of an answer is sent.
    fn judge(&self, method: AuthMethod) -> Result<(), Refusal> {
        if self.binding == Binding::Require && method != AuthMethod::ScramSha256 {
            return Err(Refusal::Unbound(method));
        }
        if method == AuthMethod::Password && self.token {
            return Ok(());
        }
        if self.methods.allow(method) {
            return Ok(());
        }
        Err(match (method, &self.methods.written) {
            (AuthMethod::Password, None) => Refusal::Cleartext,
            (_, written) => Refusal::Method {
                method,
                written: written.clone().unwrap_or_default(),
            },
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub(super) enum Step {
    /// The server has not asked for anything yet.
    #[default]
    Asked,
    /// The server has named its SASL mechanisms.
    Sasl,
    /// Authentication is under way.
    Proving,
    /// The server is satisfied.
    Authenticated,
    /// Ready for queries.
    Ready,
}

const AUTHENTICATION_OK: u32 = 0;
const AUTHENTICATION_CLEARTEXT: u32 = 3;
const AUTHENTICATION_MD5: u32 = 5;
const AUTHENTICATION_GSS: u32 = 7;
const AUTHENTICATION_SSPI: u32 = 9;
const AUTHENTICATION_SASL: u32 = 10;

impl Login {
    pub(super) fn new(rules: LoginRules) -> Self {
        Self {
            rules: Some(rules),
            ..Self::default()
        }
    }

    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut server = std::mem::take(&mut self.server);
        server.read(bytes, self);
        self.server = server;
        self.refusal.take().map_or(Ok(()), Err)
    }

    fn message(&mut self, kind: u8, first: u32) {
        let asked = match (kind, first) {
            (b'R', AUTHENTICATION_OK) if self.step == Step::Asked => AuthMethod::None,
            (b'R', AUTHENTICATION_CLEARTEXT) => AuthMethod::Password,
            (b'R', AUTHENTICATION_MD5) => AuthMethod::Md5,
            (b'R', AUTHENTICATION_GSS) => AuthMethod::Gss,
            (b'R', AUTHENTICATION_SSPI) => AuthMethod::Sspi,
            (b'R', AUTHENTICATION_SASL) => AuthMethod::ScramSha256,
            (b'R', AUTHENTICATION_OK) => {
                self.step = Step::Authenticated;
                return;
            }
            (b'Z', _) => {
                self.step = Step::Ready;
                return;
            }
            _ => return,
        };
        self.method = Some(asked);
        self.step = match asked {
            AuthMethod::None => Step::Authenticated,
            AuthMethod::ScramSha256 => {
                self.client.clear();
                Step::Sasl
            }
            _ => Step::Proving,
        };
        if self.refusal.is_none()
            && let Some(rules) = &self.rules
        {
            self.refusal = rules.judge(asked).err();
        }
    }

    /// The first message after the server's list of mechanisms names the chosen one.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        const NAME: usize = 5;
        if self.step != Step::Sasl {
            return;
        }
        self.client.extend_from_slice(bytes);
        let Some(name) = self.client.get(NAME..) else {
            return;
        };
        let Some(end) = name.iter().position(|byte| *byte == 0) else {
            return;
        };
        let disabled = |rules: &LoginRules| rules.binding == Binding::Disable;
        self.binding = Some(match name.get(..end) {
            Some(b"SCRAM-SHA-256-PLUS") => ChannelBinding::Bound,
            _ if self.rules.as_ref().is_some_and(disabled) => ChannelBinding::NotUsed,
            _ => ChannelBinding::Unavailable,
        });
        self.client = Vec::new();
        self.step = Step::Proving;
    }
}

impl Reader for Login {
    fn begin(&mut self, _: u8) {
        self.first = [0; 4];
        self.have = 0;
    }

    fn body(&mut self, _: u8, piece: &[u8]) {
        for byte in piece {
            let Some(place) = self.first.get_mut(self.have) else {
                return;
            };
            *place = *byte;
            self.have += 1;
        }
    }

    fn end(&mut self, kind: u8) {
        self.message(kind, u32::from_be_bytes(self.first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn a_login_is_read_in_pieces_of_any_size() {
        let conversation = [SASL, OK, b"S\0\0\0\x08a\0b\0", READY].concat();
        for size in 1..=conversation.len() {
            let mut login = Login::default();
            for piece in conversation.chunks(size) {
                login.received(piece).unwrap();
            }
            assert_eq!(login.step, Step::Ready, "pieces of {size}");
        }
    }

    #[test]
    fn the_mechanism_that_the_client_chose_decides_the_binding() {
        for (message, expected) in [
            (
                b"p\0\0\0\x40SCRAM-SHA-256-PLUS\0".as_slice(),
                ChannelBinding::Bound,
            ),
            (b"p\0\0\0\x40SCRAM-SHA-256\0", ChannelBinding::Unavailable),
        ] {
            for size in 1..=message.len() {
                let mut login = Login::default();
                login.sent(b"the start-up message");
                login.received(SASL).unwrap();
                message.chunks(size).for_each(|piece| login.sent(piece));
                assert_eq!(login.binding, Some(expected));
            }
        }
    }

    #[test]
    fn a_request_for_the_password_in_clear_text_is_refused() {
        let config = crate::Config::new().host("db").user("app");
        let policy = policy::Policy::decide(config).unwrap();
        let mut login = Login::new(LoginRules::new(&policy.login, Binding::Prefer));
        assert!(login.received(b"R\0\0\0\x08\0\0\0").is_ok());
        assert!(login.received(b"\x03").is_err());
    }

    #[test]
    fn a_frame_of_impossible_length_does_not_panic() {
        let mut login = Login::default();
        assert!(
            login
                .received(b"R\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\0\0\0\0")
                .is_ok()
        );
    }
}
