"""State machines as pure functions: an observation and a time in, actions out."""
