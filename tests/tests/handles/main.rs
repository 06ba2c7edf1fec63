//! Typed handles on the real kernel.

mod concurrent;
mod entries;
mod loaders;
mod per_cpu;
mod readers;
mod ring;
mod support;
mod verified;
