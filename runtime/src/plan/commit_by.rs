//! How the pins of the new generation come into the place of the old.

/// How the pins of the new generation come into the place of the old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitBy {
    /// One atomic exchange of two directories.
    #[default]
    Exchange,
    /// The exchange is tried. If this kernel has none, each pin is renamed: nothing tells before which it will be.
    ExchangeOrEachPin,
    /// A rename for each pin. No path is ever absent, but a reader of two of them can see two generations.
    EachPin {
        /// Why the directory can't be exchanged: a phrase.
        why: String,
    },
}

impl CommitBy {
    /// Of a directory that nothing but the kernel can keep from being exchanged, which exchanges, or does not, or nothing tells.
    pub(crate) fn on_a_kernel_that(exchanges: Option<bool>) -> Self {
        match exchanges {
            Some(true) => Self::Exchange,
            Some(false) => Self::EachPin { why: "this kernel can't exchange directories on bpffs".to_owned() },
            None => Self::ExchangeOrEachPin,
        }
    }

    /// For programs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::ExchangeOrEachPin => "exchange-or-each-pin",
            Self::EachPin { .. } => "each-pin",
        }
    }

    /// Why it is no exchange, or may be none: a phrase.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Exchange => None,
            Self::ExchangeOrEachPin => Some("nothing tells whether this kernel can exchange directories on bpffs"),
            Self::EachPin { why } => Some(why),
        }
    }

    /// What to know of it, where it is no exchange or may be none.
    pub(crate) fn note(&self) -> Option<String> {
        let are = if matches!(self, Self::EachPin { .. }) { "are" } else { "may be" };
        self.why().map(|why| format!("pins {are} renamed one by one: {why}"))
    }
}
