"""Where the database comes from: `connect` finds or starts it, `migrate` brings its schema up to date."""
