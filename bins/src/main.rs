//! The program with every role.
fn main() {}
