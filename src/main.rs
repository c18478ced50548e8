//! Entry: installs the error reports, runs the command line, and turns its result into an exit code.

use std::process::ExitCode;

fn main() -> color_eyre::Result<ExitCode> {
    color_eyre::install()?;
    Ok(mosip_setup::cli::root::main()?.into())
}
