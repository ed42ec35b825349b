use axum::Json;
use axum::extract::State;
use twinfold_http_kit::{Operation, Paging, Routes, extract};
use twinfold_model::ProjectName;
use twinfold_wire::rest::{PageBody, ProjectBody};

use super::Answer;
use crate::Registry;

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    routes
        .get(
            "/projects",
            list,
            Operation::new("Every project")
                .query::<Paging>()
                .answers::<PageBody<ProjectBody>>(),
        )
        .post(
            "/projects",
            create,
            Operation::new("Create a project")
                .asks::<ProjectBody>()
                .answers::<ProjectBody>(),
        )
        .get(
            "/projects/{project}",
            show,
            Operation::new("One project").answers::<ProjectBody>(),
        )
}

async fn list(
    State(registry): State<Registry>,
    extract::Query(paging): extract::Query<Paging>,
) -> Answer<PageBody<ProjectBody>> {
    let projects = registry.projects().await?;
    Ok(Json(paging.page(&projects, ToString::to_string, body)?))
}

async fn create(
    State(registry): State<Registry>,
    extract::Json(project): extract::Json<ProjectBody>,
) -> Answer<ProjectBody> {
    let project = ProjectName::new(project.name)?;
    registry.create_project(&project).await?;
    Ok(Json(body(&project)))
}

async fn show(
    State(registry): State<Registry>,
    extract::Path(name): extract::Path<String>,
) -> Answer<ProjectBody> {
    Ok(Json(body(&registry.project(&name).await?)))
}

fn body(project: &ProjectName) -> ProjectBody {
    ProjectBody {
        name: project.to_string(),
    }
}
