"""Mail: how a message is made, and how it is handed over."""
