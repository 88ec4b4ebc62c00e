use std::ops::Range;

use crate::code::Code;
use crate::error::DsnError;

/// A place in a text that moves forward, and knows its byte.
pub(crate) struct Cursor<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str, span: &Range<usize>) -> Self {
        Self {
            rest: text.get(span.clone()).unwrap_or_default(),
            at: span.start,
        }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        self.at += next.len_utf8();
        Some(next)
    }

    pub(crate) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.at += taken.len();
        taken
    }
}

pub(crate) fn malformed(span: Range<usize>, message: &str, help: &str) -> DsnError {
    DsnError::new(Code::Malformed, span, message, help)
}

pub(crate) fn template(span: Range<usize>, what: &str) -> DsnError {
    let message = format!("{what} is a template that nobody filled in");
    DsnError::new(
        Code::Placeholder,
        span,
        message,
        "put the real value in its place",
    )
}
