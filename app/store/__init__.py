"""Our tables. Functions take a connection; the caller owns the transaction."""
