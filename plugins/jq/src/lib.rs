//! The jq language: filter, router and generator
