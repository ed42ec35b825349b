use std::process::ExitCode;

fn main() -> ExitCode {
    twinfold_api::service::main()
}
