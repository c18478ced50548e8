//! Entry: installs the error reports, runs the command line, and turns its result into an exit code.

use std::process::ExitCode;

fn main() -> color_eyre::Result<ExitCode> {
    color_eyre::install()?;
    // Before anything else asks OpenSSL something: so it leaves nothing to be torn down at the end, while threads that were left to
    // themselves (a probe that hangs) may still use it.
    openssl::init();
    Ok(mosip_setup::cli::root::main()?.into())
}
