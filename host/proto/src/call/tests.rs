//! Rules of the grammar one by one, and its errors with their columns.
