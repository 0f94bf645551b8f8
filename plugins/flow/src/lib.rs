//! Which events go on, and how fast
