//! Logs of any size: searched, filtered, counted, copied, and when their lines were written. Never more of one in memory than a block.

pub mod copy;
pub mod pattern;
pub mod plain;
pub mod scan;
pub mod times;
