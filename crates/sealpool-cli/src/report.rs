use std::{io, process::ExitCode};

/// What a command has to say, and how it went.
#[derive(Debug)]
pub(crate) struct Report {
    out: String,
    err: String,
    code: u8,
}

impl Report {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self {
            out: text.into(),
            err: String::new(),
            code: 0,
        }
    }

    /// Something that was looked at failed.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            ..Self::good(text)
        }
    }

    /// The configuration was refused, in the form that was asked for.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self {
            code: 2,
            ..Self::good(text)
        }
    }

    /// The call cannot be answered.
    pub(crate) fn wrong(text: impl Into<String>) -> Self {
        Self {
            out: String::new(),
            err: format!("error: {}", text.into()),
            code: 2,
        }
    }

    pub(crate) fn print(self) -> ExitCode {
        let Self { out, err, code } = self;
        // Colours go to terminals only, and not where NO_COLOR is set.
        let written = write_line(&mut anstream::stdout().lock(), &out)
            .and_then(|()| write_line(&mut anstream::stderr().lock(), &err));
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
            _ => ExitCode::from(code),
        }
    }
}

fn write_line(to: &mut impl io::Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    writeln!(to, "{}", text.trim_end())
}
