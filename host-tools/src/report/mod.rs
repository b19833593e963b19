//! A conversion as a page that a person can judge: kernels and their fits, poles, errors, certificates,
//! sizes, and what the network loses.
//!
//! The page is one file. Nothing in it is fetched or executed, and its content security policy forbids
//! both; what comes from outside is escaped by [`maud`], whose templates escape all that is not a
//! template. Plots are SVG that the page's own styles colour, light, dark or printed. Every plot has a
//! title, a description, and its figures in a table.

mod axis;
mod bits;
mod charts;
mod data;
mod measure;
mod page;
mod plot;
mod sizes;

pub use bits::{BitsError, LENGTHS, bits_by_length};
pub use data::{
    Bits, BitsAtLength, Curve, Example, LagError, Layer, Matrix, Model, Norms, Point, Report, Text,
};
pub use measure::{layer, layers};
pub use page::page;
pub use sizes::{FlashPart, FlashUse, MemoryPart, MemoryUse, Part, Sizes};
