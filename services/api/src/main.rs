use std::process::ExitCode;

use twinfold_api::service::ApiService;

fn main() -> ExitCode {
    twinfold_service_kit::process::main::<ApiService>()
}
