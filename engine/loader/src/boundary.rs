pub(crate) mod export_batch;
pub(crate) mod import_batch;
pub(crate) mod metadata;
