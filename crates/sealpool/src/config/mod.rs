//! What an operator wrote. What follows from it is decided in `policy`.

mod change;
mod dsn;
mod env;
mod error;
mod explain;
mod layer;
mod libpq;
mod origin;
mod reference;
mod settings;
mod sheet;
mod spread;
mod toml;
mod value;

pub use change::Change;
pub use error::ConfigError;
pub use explain::{Effective, Explanation, Warning, Word};
pub use layer::Layer;
pub use origin::Origin;
pub use settings::{Config, Key};
pub use value::IntoSetting;

pub(crate) use origin::Place;
pub(crate) use settings::Written;
