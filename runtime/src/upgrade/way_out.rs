//! The way out of an upgrade that ended at its commit and that no start completes.

/// What is given up so that it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOut {
    /// What is staged. The live generation goes on, without what the new programs wrote since the switch to maps that were copied or
    /// converted for them.
    Discard,
    /// Certainty. What programs wrote since the copy is brought over by system calls and not by programs: what is written at the very
    /// moment can be lost, and what the attempts before brought over can be counted twice. The upgrade is completed; or it is taken back, if
    /// only the code of its daemon converts entries of it, and this process does not have that ([`Recovery::migrations`](crate::Recovery::migrations)).
    ByCalls,
}
