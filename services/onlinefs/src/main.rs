use std::process::ExitCode;

use twinfold_onlinefs::service::OnlinefsService;

fn main() -> ExitCode {
    twinfold_service_kit::process::main::<OnlinefsService>()
}
