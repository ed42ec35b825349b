use std::process::ExitCode;

fn main() -> ExitCode {
    twinfold_onlinefs::service::main()
}
