//! The parts of `stockgate demo`.
