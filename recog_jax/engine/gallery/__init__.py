"""People whom a model knows: enrolled, found, and forgotten."""
