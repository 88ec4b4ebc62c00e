use std::collections::VecDeque;

use super::{
    frames::{Frames, Reader},
    traces::Traces,
    words::Words,
};

/// Follows a session by the frames that pass: what was asked and is not answered, the transaction, and what is left behind.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    server: Frames,
    client: Frames,
    talk: Talk,
}

#[derive(Debug, Default)]
struct Talk {
    /// What the server answers with a ReadyForQuery each, in order.
    asked: VecDeque<Request>,
    /// How many of them are more than the closing of statements.
    serious: usize,
    /// The frames sent since the last Sync.
    batch: Option<Request>,
    feed: Feed,
    status: u8,
    logged_in: bool,
    tag: Tag,
    words: Words,
    traces: Traces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Frames up to a Sync.
    Batch,
    /// Close frames only, which change nothing that a borrower could notice.
    Closing,
    /// A Query or a FunctionCall.
    Simple,
}

/// What the server expects in a COPY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Feed {
    #[default]
    None,
    /// The server waits for rows.
    In,
    /// The server waits for rows that nobody is going to send.
    Stuck,
}

/// The beginning of a command tag.
#[derive(Debug, Default)]
struct Tag {
    text: [u8; 24],
    len: usize,
}

/// Where a session stands, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing(u8);

impl Standing {
    const BUSY: u8 = 1;
    const IN_TRANSACTION: u8 = 2;
    const STUCK: u8 = 4;

    pub(super) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) const fn busy(self) -> Self {
        Self(self.0 | Self::BUSY)
    }

    pub(super) const fn is_busy(self) -> bool {
        self.0 & Self::BUSY != 0
    }

    pub(super) const fn is_in_transaction(self) -> bool {
        self.0 & Self::IN_TRANSACTION != 0
    }

    /// Neither an answer nor a cancel request will end what it is doing.
    pub(super) const fn is_stuck(self) -> bool {
        self.0 & Self::STUCK != 0
    }
}

impl Traffic {
    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.server.read(bytes, &mut FromServer(&mut self.talk));
    }

    pub(super) fn sent(&mut self, bytes: &[u8]) {
        // The first message of a login has no type, and of the others there is nothing to be learnt here.
        if self.talk.logged_in {
            self.client.read(bytes, &mut FromClient(&mut self.talk));
        }
    }

    pub(super) const fn is_logged_in(&self) -> bool {
        self.talk.logged_in
    }

    pub(super) fn standing(&self) -> Standing {
        let Talk {
            serious,
            batch,
            feed,
            status,
            ..
        } = &self.talk;
        let busy = *serious > 0
            || *batch == Some(Request::Batch)
            || *feed != Feed::None
            || self.client.is_within();
        let in_transaction = *status != b'I';
        let stuck = *feed == Feed::Stuck;
        Standing(
            u8::from(busy) * Standing::BUSY
                + u8::from(in_transaction) * Standing::IN_TRANSACTION
                + u8::from(stuck) * Standing::STUCK,
        )
    }

    /// What was found since this was last asked.
    pub(super) fn take_traces(&mut self) -> Traces {
        std::mem::take(&mut self.talk.traces)
    }
}

impl Talk {
    fn ask(&mut self, request: Request) {
        self.serious += usize::from(request != Request::Closing);
        self.asked.push_back(request);
    }

    fn answered(&mut self) {
        let request = self.asked.pop_front();
        self.serious -= usize::from(request.is_some_and(|request| request != Request::Closing));
    }

    fn found(&mut self, traces: Traces) {
        self.traces = self.traces.and(traces);
    }
}

struct FromClient<'a>(&'a mut Talk);

impl FromClient<'_> {
    fn found(&mut self, kind: u8, traces: Traces) {
        self.0.found(traces);
        if kind == b'P' && !traces.is_empty() {
            self.0.found(Traces::LASTING);
        }
    }
}

impl Reader for FromClient<'_> {
    fn begin(&mut self, _: u8) {}

    fn body(&mut self, kind: u8, piece: &[u8]) {
        if matches!(kind, b'P' | b'Q') {
            let traces = self.0.words.read(piece);
            self.found(kind, traces);
        }
    }

    fn end(&mut self, kind: u8) {
        match kind {
            b'Q' | b'F' => self.0.ask(Request::Simple),
            b'S' => {
                let request = self.0.batch.take().unwrap_or(Request::Closing);
                self.0.ask(request);
            }
            b'C' => {
                self.0.batch.get_or_insert(Request::Closing);
            }
            // CopyData and Terminate ask for no answer.
            b'd' | b'X' => {}
            _ => self.0.batch = Some(Request::Batch),
        }
        if matches!(kind, b'P' | b'Q') {
            let traces = self.0.words.end();
            self.found(kind, traces);
        }
    }
}

struct FromServer<'a>(&'a mut Talk);

impl Reader for FromServer<'_> {
    fn begin(&mut self, kind: u8) {
        if kind == b'C' {
            self.0.tag.len = 0;
        }
    }

    fn body(&mut self, kind: u8, piece: &[u8]) {
        let talk = &mut *self.0;
        match kind {
            b'C' => {
                for byte in piece {
                    if let Some(place) = talk.tag.text.get_mut(talk.tag.len) {
                        *place = *byte;
                        talk.tag.len += 1;
                    }
                }
            }
            b'Z' => talk.status = piece.first().copied().unwrap_or_default(),
            _ => {}
        }
    }

    fn end(&mut self, kind: u8) {
        let talk = &mut *self.0;
        match kind {
            b'C' => {
                let tag = talk.tag.text.get(..talk.tag.len).unwrap_or_default();
                let tag = tag.split(|byte| *byte == 0).next().unwrap_or_default();
                let traces = Traces::of_tag(tag);
                talk.found(traces);
            }
            b'Z' => {
                talk.answered();
                talk.feed = Feed::None;
                talk.logged_in = true;
            }
            // The server swallows a Sync that comes before the rows have ended, and answers the one after them.
            b'G' if talk.asked.front() == Some(&Request::Batch) => {
                talk.answered();
                talk.feed = Feed::In;
            }
            b'G' | b'W' => talk.feed = Feed::Stuck,
            // A setting has changed, perhaps deep inside a function.
            b'S' if talk.logged_in => talk.found(Traces::RESET),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &len[..], body].concat()
    }

    /// A frame: `c` if the client sends it, `s` if the server does; its type and its body.
    type Line = (char, u8, &'static str);

    fn play(lines: &[Line], size: usize) -> Traffic {
        let mut traffic = Traffic::default();
        traffic.received(&frame(b'Z', b"I"));
        traffic.take_traces();
        for (who, kind, body) in lines {
            for piece in frame(*kind, body.as_bytes()).chunks(size) {
                match who {
                    'c' => traffic.sent(piece),
                    _ => traffic.received(piece),
                }
            }
        }
        traffic
    }

    const IDLE: Standing = Standing(0);
    const BUSY: Standing = Standing(Standing::BUSY);
    const OPEN: Standing = Standing(Standing::IN_TRANSACTION);
    const STUCK: Standing = Standing(Standing::BUSY + Standing::STUCK);

    #[test]
    fn a_conversation_is_followed_in_pieces_of_every_size() {
        let rows: &[(&str, &[Line], Standing)] = &[
            ("nothing", &[], IDLE),
            ("a query", &[('c', b'Q', "begin\0")], BUSY),
            (
                "begin",
                &[
                    ('c', b'Q', "begin\0"),
                    ('s', b'C', "BEGIN\0"),
                    ('s', b'Z', "T"),
                ],
                OPEN,
            ),
            (
                "an aborted block",
                &[('c', b'Q', "x\0"), ('s', b'E', "\0"), ('s', b'Z', "E")],
                OPEN,
            ),
            (
                "frames without a Sync",
                &[('c', b'B', "\0"), ('c', b'E', "\0")],
                BUSY,
            ),
            (
                "a statement is being closed",
                &[('c', b'C', "Ss0\0"), ('c', b'S', "")],
                IDLE,
            ),
            (
                "the answer to a query behind the closing of a statement",
                &[
                    ('c', b'C', "Ss0\0"),
                    ('c', b'S', ""),
                    ('c', b'Q', "select\0"),
                    ('s', b'Z', "I"),
                ],
                BUSY,
            ),
            (
                "rows to be sent",
                &[('c', b'E', "\0"), ('c', b'S', ""), ('s', b'G', "\0\0\0")],
                BUSY,
            ),
            (
                "rows sent",
                &[
                    ('c', b'E', "\0"),
                    ('c', b'S', ""),
                    ('s', b'G', "\0\0\0"),
                    ('c', b'd', "row"),
                    ('c', b'c', ""),
                    ('c', b'S', ""),
                    ('s', b'C', "COPY 1\0"),
                    ('s', b'Z', "I"),
                ],
                IDLE,
            ),
            (
                "a copy given up before it began",
                &[
                    ('c', b'E', "\0"),
                    ('c', b'S', ""),
                    ('c', b'f', "\0"),
                    ('c', b'S', ""),
                    ('s', b'G', "\0\0\0"),
                ],
                BUSY,
            ),
            (
                "a copy that was refused, and the failure sent all the same",
                &[
                    ('c', b'E', "\0"),
                    ('c', b'S', ""),
                    ('s', b'E', "\0"),
                    ('s', b'Z', "I"),
                    ('c', b'f', "\0"),
                    ('c', b'S', ""),
                ],
                BUSY,
            ),
            (
                "a copy from nowhere",
                &[('c', b'Q', "copy\0"), ('s', b'G', "\0\0\0")],
                STUCK,
            ),
        ];
        for (name, lines, expected) in rows {
            for size in 1..20 {
                assert_eq!(
                    play(lines, size).standing(),
                    *expected,
                    "{name} in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn a_piece_of_a_frame_is_busy() {
        let mut traffic = play(&[], 1);
        traffic.sent(b"Q\0\0");
        assert_eq!(traffic.standing(), BUSY);
    }

    #[test]
    fn what_is_left_behind_is_noticed() {
        let lasting = Traces::RESET.and(Traces::LASTING);
        let rows: &[(&[Line], Traces)] = &[
            (&[('s', b'C', "SELECT 1\0")], Traces::default()),
            (&[('s', b'C', "SET\0")], Traces::RESET),
            (&[('s', b'S', "TimeZone\0UTC\0")], Traces::RESET),
            (&[('c', b'Q', "create temp table t ()\0")], Traces::RESET),
            (&[('c', b'P', "s0\0create temp table t ()\0\0\0")], lasting),
            (
                &[('c', b'P', "s0\0select set_config($1, $2, true)\0\0\0")],
                lasting,
            ),
            (&[('c', b'B', "\0s0\0temp\0")], Traces::default()),
            (&[('s', b'D', "temp\0")], Traces::default()),
        ];
        for (lines, expected) in rows {
            for size in 1..30 {
                let traces = play(lines, size).take_traces();
                assert_eq!(traces, *expected, "{lines:?} in pieces of {size}");
            }
        }
    }
}
