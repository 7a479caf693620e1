"""Real exceptions, really raised by the libraries named, each with the type it must get and the reason why."""
