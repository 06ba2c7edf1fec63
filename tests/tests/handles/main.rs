//! Typed handles on the real kernel.

mod concurrent;
mod entries;
mod loaders;
mod per_cpu;
mod ring;
mod support;
mod verified;
