//! Files: read once or followed, appended and rotated
