"""HTTP for programs: one file per resource, its models beside its routes."""
