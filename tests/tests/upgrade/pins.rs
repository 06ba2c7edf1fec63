//! What an upgrade does to the directory: names, owners, somebody else's pins.
