use std::process::ExitCode;

use twinfold_registry::service::RegistryService;

fn main() -> ExitCode {
    twinfold_service_kit::process::main::<RegistryService>()
}
