"""Everything that a user can set, and which value wins."""
