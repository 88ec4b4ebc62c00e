use std::collections::VecDeque;

use super::{
    complaint::Complaint,
    frames::{Frames, Reader},
    signs::{Signs, Watcher},
    statements::Stale,
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
    asked: VecDeque<Asked>,
    /// How many of them are more than the closing of statements.
    serious: usize,
    /// The frames sent since the last Sync.
    batch: Option<Request>,
    feed: Feed,
    status: u8,
    logged_in: bool,
    /// The front of `asked` has failed; only its ReadyForQuery is missing.
    refused: bool,
    tag: Tag,
    words: Words,
    traces: Traces,
    tally: Tally,
    /// Whether the frame that is being sent counts among the orders already.
    counted: bool,
    complaint: Complaint,
    stale: Stale,
    prepared: usize,
    watcher: Watcher,
    signs: Signs,
    spoilt: Option<Spoilt>,
}

/// What has passed since the connection was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Frames that may change something, of which at least one byte has left.
    pub(super) orders: u64,
    /// Errors that the server has answered with.
    pub(super) errors: u64,
    /// Orders of which the answers have ended.
    pub(super) answered: u64,
}

/// What the server is to answer, and how many orders there are with it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    request: Request,
    orders: u64,
}

/// From where on a session is not what it was: an order opened a transaction, or changed the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoilt {
    /// The number of the order that did it.
    pub(crate) by: u64,
    /// The number of the first whose answer may not mean what it says.
    pub(crate) from: u64,
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
    const OWED: u8 = 8;

    pub(super) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) const fn busy(self) -> Self {
        Self(self.0 | Self::BUSY | Self::OWED)
    }

    pub(super) const fn is_busy(self) -> bool {
        self.0 & Self::BUSY != 0
    }

    /// Whether it is not known yet what becomes of all that was sent; with an error it is, before the server is ready.
    pub(super) const fn is_owed(self) -> bool {
        self.0 & Self::OWED != 0
    }

    pub(super) const fn is_in_transaction(self) -> bool {
        self.0 & Self::IN_TRANSACTION != 0
    }

    /// Neither an answer nor a cancel request will end what it is doing.
    pub(super) const fn is_stuck(self) -> bool {
        self.0 & Self::STUCK != 0
    }
}

impl Tag {
    fn read(&mut self, piece: &[u8]) {
        let room = self.text.get_mut(self.len..).unwrap_or_default();
        let size = room.len().min(piece.len());
        let (room, piece) = (room.split_at_mut(size).0, piece.split_at(size).0);
        room.copy_from_slice(piece);
        self.len += size;
    }

    fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
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
            if let Some(kind) = self.client.under_way() {
                self.talk.order(kind);
            }
        }
    }

    pub(super) const fn tally(&self) -> Tally {
        self.talk.tally
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
            refused,
            ..
        } = &self.talk;
        let unfinished = *batch == Some(Request::Batch)
            || *feed != Feed::None
            || self.client.under_way().is_some();
        let busy = unfinished || *serious > 0;
        let owed = unfinished || *serious > usize::from(*refused);
        let in_transaction = *status != b'I';
        let stuck = *feed == Feed::Stuck;
        Standing(
            u8::from(busy) * Standing::BUSY
                + u8::from(in_transaction) * Standing::IN_TRANSACTION
                + u8::from(stuck) * Standing::STUCK
                + u8::from(owed) * Standing::OWED,
        )
    }

    /// What was found since this was last asked.
    pub(super) fn take_traces(&mut self) -> Traces {
        std::mem::take(&mut self.talk.traces)
    }

    /// What the server has said of its role since this was last asked.
    pub(super) fn take_signs(&mut self) -> Signs {
        std::mem::take(&mut self.talk.signs)
    }

    /// The first order to leave the session as it was not, if that was found since this was last asked.
    pub(super) const fn take_spoilt(&mut self) -> Option<Spoilt> {
        self.talk.spoilt.take()
    }

    /// The same for statements that are of no use any more.
    pub(super) fn take_stale(&mut self) -> Stale {
        std::mem::take(&mut self.talk.stale)
    }

    /// How many statements were prepared since this was last asked.
    pub(super) fn take_prepared(&mut self) -> usize {
        std::mem::take(&mut self.talk.prepared)
    }
}

impl Talk {
    fn ask(&mut self, request: Request) {
        self.serious += usize::from(request != Request::Closing);
        let orders = self.tally.orders;
        self.asked.push_back(Asked { request, orders });
    }

    fn asked_first(&self) -> Option<Request> {
        self.asked.front().map(|asked| asked.request)
    }

    fn answered(&mut self) {
        let Some(Asked { request, orders }) = self.asked.pop_front() else {
            return;
        };
        self.serious -= usize::from(request != Request::Closing);
        self.tally.answered = orders;
    }

    /// Takes note of what the order did that is being answered; nobody did what nobody asked for.
    fn spoil(&mut self, with_itself: bool) {
        if let Some(Asked { orders, .. }) = self.asked.front() {
            self.spoilt.get_or_insert_with(|| Spoilt {
                by: *orders,
                from: *orders + u64::from(!with_itself),
            });
        }
    }

    fn found(&mut self, traces: Traces) {
        self.traces = self.traces.and(traces);
    }

    /// To parse, bind or describe a statement changes nothing, and neither does to close one.
    fn order(&mut self, kind: u8) {
        let harmless = matches!(kind, b'P' | b'B' | b'D' | b'C' | b'H' | b'S' | b'X');
        if !harmless && !self.counted {
            self.counted = true;
            self.tally.orders += 1;
        }
    }

    fn complained(&mut self) {
        // What is worse is the end of the connection, and no answer.
        if self.complaint.is_error() {
            self.refused = true;
            self.tally.errors += 1;
        }
        if self.logged_in {
            self.signs = self.signs.and(Signs::of_error(&self.complaint));
        }
        self.stale = self.stale.max(Stale::of_error(&self.complaint));
        // The driver has lost a statement of its own, perhaps one by which it looks up types.
        if self.complaint.code() == b"26000" && self.asked_first() == Some(Request::Batch) {
            self.found(Traces::LOST);
        }
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
    #[inline(always)]
    fn begin(&mut self, _: u8) {}

    #[inline(always)]
    fn body(&mut self, kind: u8, piece: &[u8]) {
        if matches!(kind, b'P' | b'Q') {
            let traces = self.0.words.read(piece);
            self.found(kind, traces);
        }
    }

    #[inline(always)]
    fn end(&mut self, kind: u8) {
        self.0.order(kind);
        self.0.counted = false;
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
            self.0.prepared += usize::from(kind == b'P');
            let traces = self.0.words.end();
            self.found(kind, traces);
        }
    }
}

struct FromServer<'a>(&'a mut Talk);

impl Reader for FromServer<'_> {
    /// Rows are the mass of what comes.
    fn ignores(kind: u8) -> bool {
        matches!(kind, b'D' | b'd')
    }

    #[inline(always)]
    fn begin(&mut self, kind: u8) {
        match kind {
            b'C' => self.0.tag.len = 0,
            b'E' => self.0.complaint = Complaint::default(),
            b'S' => self.0.watcher.begin(),
            _ => {}
        }
    }

    #[inline(always)]
    fn body(&mut self, kind: u8, piece: &[u8]) {
        let talk = &mut *self.0;
        match kind {
            b'C' => talk.tag.read(piece),
            b'E' => talk.complaint.read(piece),
            b'S' => talk.watcher.body(piece),
            b'Z' => talk.status = piece.first().copied().unwrap_or_default(),
            _ => {}
        }
    }

    #[inline(always)]
    fn end(&mut self, kind: u8) {
        let talk = &mut *self.0;
        match kind {
            // Most are of this kind, and betray nothing.
            b'C' if talk.tag.text().starts_with(b"SELECT ") => {}
            b'C' => {
                let mut words = talk.tag.text().split(|byte| *byte == 0);
                let tag = words.next().unwrap_or_default();
                let traces = Traces::of_tag(tag);
                talk.stale = talk.stale.max(Stale::of_tag(tag));
                talk.found(traces);
                if !traces.is_empty() {
                    talk.spoil(false);
                }
            }
            b'E' => talk.complained(),
            b'Z' => {
                if talk.status != b'I' {
                    talk.spoil(true);
                }
                talk.answered();
                talk.refused = false;
                talk.feed = Feed::None;
                talk.logged_in = true;
            }
            // The server swallows a Sync that comes before the rows have ended, and answers the one after them.
            b'G' if talk.asked_first() == Some(Request::Batch) => {
                talk.answered();
                talk.feed = Feed::In;
            }
            b'G' | b'W' => talk.feed = Feed::Stuck,
            // A setting has changed, perhaps deep inside a function.
            b'S' if talk.logged_in => {
                let signs = talk.watcher.end();
                talk.signs = talk.signs.and(signs);
                talk.found(Traces::RESET);
                // A server that is promoted says so to everybody.
                if signs != Signs::PROMOTED {
                    talk.spoil(false);
                }
            }
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
    const BUSY: Standing = Standing(Standing::BUSY + Standing::OWED);
    const REFUSED: Standing = Standing(Standing::BUSY);
    const OPEN: Standing = Standing(Standing::IN_TRANSACTION);
    const STUCK: Standing = Standing(Standing::BUSY + Standing::STUCK + Standing::OWED);

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
                "an error, and the server is not ready yet",
                &[('c', b'Q', "x\0"), ('s', b'E', "SERROR\0VERROR\0\0")],
                REFUSED,
            ),
            (
                "an error, and another request behind it",
                &[
                    ('c', b'Q', "x\0"),
                    ('c', b'Q', "y\0"),
                    ('s', b'E', "SERROR\0VERROR\0\0"),
                ],
                BUSY,
            ),
            (
                "the end of the connection",
                &[('c', b'Q', "x\0"), ('s', b'E', "SFATAL\0VFATAL\0\0")],
                BUSY,
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
    fn an_order_counts_from_its_first_byte() {
        let tally = |orders, errors| (orders, errors);
        let rows: &[(&[Line], (u64, u64))] = &[
            (&[('c', b'Q', "commit\0")], tally(1, 0)),
            (
                &[
                    ('c', b'P', "\0x\0\0\0"),
                    ('c', b'D', "S\0"),
                    ('c', b'S', ""),
                ],
                tally(0, 0),
            ),
            (
                &[('c', b'B', "\0"), ('c', b'E', "\0"), ('c', b'S', "")],
                tally(1, 0),
            ),
            (
                &[('c', b'd', "row"), ('c', b'd', "row"), ('c', b'c', "")],
                tally(3, 0),
            ),
            (
                &[
                    ('c', b'Q', "x\0"),
                    ('s', b'E', "SERROR\0VERROR\0C22012\0\0"),
                ],
                tally(1, 1),
            ),
            (
                &[
                    ('c', b'Q', "x\0"),
                    ('s', b'E', "SFEHLER\0VERROR\0C22012\0\0"),
                ],
                tally(1, 1),
            ),
            (
                &[
                    ('c', b'Q', "x\0"),
                    ('s', b'E', "SFATAL\0VFATAL\0C57P01\0\0"),
                ],
                tally(1, 0),
            ),
        ];
        for (lines, expected) in rows {
            for size in 1..10 {
                let Tally { orders, errors, .. } = play(lines, size).tally();
                assert_eq!((orders, errors), *expected, "{lines:?} in pieces of {size}");
            }
        }
        let mut traffic = play(&[], 1);
        traffic.sent(b"Q");
        assert_eq!(traffic.tally().orders, 1);
        traffic.sent(b"\0\0\0\x05");
        assert_eq!(traffic.tally().orders, 1);
    }

    /// A statement that is prepared and executed, as lines.
    const EXECUTE: [Line; 3] = [('c', b'B', "\0"), ('c', b'E', "\0"), ('c', b'S', "")];
    const PREPARE: [Line; 2] = [('c', b'P', "\0x\0\0\0"), ('c', b'S', "")];
    const CLOSE: [Line; 2] = [('c', b'C', "Ss0\0"), ('c', b'S', "")];

    #[test]
    fn orders_are_answered_one_after_the_other() {
        let asked = [&EXECUTE[..], &PREPARE, &EXECUTE, &CLOSE, &EXECUTE].concat();
        let ready = ('s', b'Z', "I");
        for (answers, expected) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
            for size in 1..10 {
                let lines = [&asked[..], &vec![ready; answers]].concat();
                let tally = play(&lines, size).tally();
                assert_eq!((tally.orders, tally.answered), (3, expected), "{answers}");
            }
        }
    }

    #[test]
    fn the_order_that_spoils_a_session_is_known() {
        let asked = [&EXECUTE[..], &PREPARE, &EXECUTE, &EXECUTE].concat();
        type Row = (&'static [Line], Option<(u64, u64)>);
        let rows: &[Row] = &[
            (&[('s', b'C', "SELECT 1\0"), ('s', b'Z', "I")], None),
            (&[('s', b'C', "BEGIN\0"), ('s', b'Z', "T")], Some((1, 1))),
            (
                &[('s', b'Z', "I"), ('s', b'Z', "I"), ('s', b'Z', "T")],
                Some((2, 2)),
            ),
            (
                &[('s', b'Z', "I"), ('s', b'Z', "I"), ('s', b'C', "SET\0")],
                Some((2, 3)),
            ),
            (&[('s', b'S', "TimeZone\0UTC\0")], Some((1, 2))),
            (&[('s', b'S', "in_hot_standby\0off\0")], None),
            (
                &[
                    ('s', b'Z', "T"),
                    ('s', b'Z', "T"),
                    ('s', b'C', "COMMIT\0"),
                    ('s', b'Z', "I"),
                ],
                Some((1, 1)),
            ),
            (
                &[
                    ('s', b'Z', "I"),
                    ('s', b'Z', "I"),
                    ('s', b'Z', "I"),
                    ('s', b'Z', "I"),
                    ('s', b'S', "TimeZone\0UTC\0"),
                ],
                None,
            ),
        ];
        for (answers, expected) in rows {
            for size in 1..10 {
                let lines = [&asked[..], answers].concat();
                let spoilt = play(&lines, size).take_spoilt();
                let spoilt = spoilt.map(|Spoilt { by, from }| (by, from));
                assert_eq!(spoilt, *expected, "{answers:?} in pieces of {size}");
            }
        }
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

    #[test]
    fn statements_that_are_of_no_use_are_noticed() {
        let changed = "SERROR\0C0A000\0RRevalidateCachedQuery\0\0";
        let lost = "SERROR\0C26000\0\0";
        let rows: &[(&[Line], Stale, Traces)] = &[
            (&[('s', b'C', "SELECT 1\0")], Stale::None, Traces::default()),
            (&[('s', b'C', "DISCARD ALL\0")], Stale::Here, Traces::LOST),
            (
                &[('s', b'E', changed)],
                Stale::Everywhere,
                Traces::default(),
            ),
            (&[('s', b'N', changed)], Stale::None, Traces::default()),
            (
                &[('s', b'E', changed), ('s', b'E', lost)],
                Stale::Everywhere,
                Traces::default(),
            ),
            (
                &[('s', b'E', "C0A000\0\0"), ('s', b'E', "C22012\0\0")],
                Stale::Here,
                Traces::default(),
            ),
            (
                &[('c', b'Q', "execute x\0"), ('s', b'E', lost)],
                Stale::Here,
                Traces::default(),
            ),
            (
                &[('c', b'B', "\0s0\0"), ('c', b'S', ""), ('s', b'E', lost)],
                Stale::Here,
                Traces::LOST,
            ),
        ];
        for (lines, stale, traces) in rows {
            for size in 1..30 {
                let mut traffic = play(lines, size);
                assert_eq!(
                    traffic.take_stale(),
                    *stale,
                    "{lines:?} in pieces of {size}"
                );
                assert_eq!(traffic.take_traces(), *traces, "{lines:?}");
                assert_eq!(traffic.take_stale(), Stale::None);
            }
        }
    }
}
