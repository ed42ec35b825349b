use std::process::ExitCode;

fn main() -> ExitCode {
    twinfold_registry::service::main()
}
