//! `requery openapi`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use requery::server::http::document;

/// The document to print, or the folder to write all documents to.
#[derive(clap::Args, Debug)]
pub struct OpenapiArgs {
    /// Print the AsyncAPI document of the streams instead of the OpenAPI document of REST.
    #[arg(long, conflicts_with = "write")]
    pub asyncapi: bool,
    /// Write openapi.json, asyncapi.json and invalidation.json to this folder instead of printing a document.
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// Prints one document, or writes all of them.
pub async fn run(args: OpenapiArgs) -> anyhow::Result<ExitCode> {
    match args.write {
        Some(folder) => {
            std::fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
            for (name, text) in document::all() {
                let path = folder.join(name);
                std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
            }
        }
        None => super::print(&if args.asyncapi { document::asyncapi() } else { document::openapi() })?,
    }
    Ok(ExitCode::SUCCESS)
}
