use std::process::ExitCode;

fn main() -> ExitCode {
    twinfold_offlinefs::service::main()
}
