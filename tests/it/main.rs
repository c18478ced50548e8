//! The one integration binary.

mod kit;
