//! How the columns of a file are read.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use clap::Args;

/// How the columns of a file are read, where its own names do not say it.
#[derive(Debug, Default, Args)]
pub(crate) struct Columns {
    /// The layout of the rows, e.g. alpaca-text; found by the columns where not given.
    #[arg(help_heading = "Data", long, value_name = "NAME")]
    pub(crate) layout: Option<String>,
    /// Call a column by another name, e.g. prompt=question. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "NEW=OLD")]
    pub(crate) rename: Vec<String>,
    /// Do without a column. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN")]
    pub(crate) drop: Vec<String>,
}

impl Columns {
    /// As readers take it.
    pub(crate) fn reading(&self) -> groma_recipe::Reading {
        let Columns { layout, rename, drop } = self;
        groma_recipe::Reading { layout: layout.clone(), rename: rename.clone(), drop: drop.clone() }
    }
}
