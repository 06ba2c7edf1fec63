//! How the pins of the new generation come into the place of the old.

/// How the pins of the new generation come into the place of the old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CommitBy {
    /// One atomic exchange of two directories.
    #[default]
    Exchange,
    /// A rename for each pin. No path is ever absent, but a reader of two of them can see two generations.
    EachPin {
        /// Why the directory can't be exchanged: a phrase.
        why: String,
    },
}
