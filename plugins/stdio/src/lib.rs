//! Standard input and output
