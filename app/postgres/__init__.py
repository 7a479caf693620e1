"""Where the database comes from."""
