//! How a model is looked at, by the forward pass, by scoring and by generation alike.

use crate::Hooks;

/// Which adapter takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The one attached last, where there is one.
    #[default]
    Active,
    /// None: the base model.
    Off,
    /// The one of this name.
    Named(String),
}

impl From<bool> for AdapterChoice {
    fn from(on: bool) -> Self {
        if on { AdapterChoice::Active } else { AdapterChoice::Off }
    }
}

/// The adapter that takes part, and what is read and changed inside.
///
/// The plain view, which is the default, changes neither a bit nor the speed.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// What happens at hook points, and what was found there.
    pub hooks: Hooks,
}

static PLAIN: View = View { adapter: AdapterChoice::Active, hooks: Hooks::new() };
static BASE: View = View { adapter: AdapterChoice::Off, hooks: Hooks::new() };

impl View {
    /// The model as it is, with its active adapter.
    pub fn plain() -> &'static View {
        &PLAIN
    }

    /// The model without adapters: its own reference.
    pub fn base() -> &'static View {
        &BASE
    }

    /// [`View::plain`] or [`View::base`].
    pub fn with_adapter(on: bool) -> &'static View {
        if on { View::plain() } else { View::base() }
    }
}

impl From<Hooks> for View {
    fn from(hooks: Hooks) -> Self {
        View { hooks, ..View::default() }
    }
}
