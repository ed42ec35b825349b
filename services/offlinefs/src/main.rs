use std::process::ExitCode;

use twinfold_offlinefs::service::OfflinefsService;

fn main() -> ExitCode {
    twinfold_service_kit::process::main::<OfflinefsService>()
}
