mod cursor;

mod percent;

mod swallowed;
pub(crate) use swallowed::is_identifier;

mod key_value;
pub(crate) use key_value::{blank_list, semicolon_or_blank_list};

mod semicolons;
pub(crate) use semicolons::{Quoting, semicolon_list};

mod authority;

mod uri;
pub(crate) use uri::uri;
