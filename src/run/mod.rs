//! What happened in a run and what comes next. Pure: no clock, files, network or processes.
