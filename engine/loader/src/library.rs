pub(crate) mod describe;
pub(crate) mod file;
pub(crate) mod handshake;
pub(crate) mod tables;
