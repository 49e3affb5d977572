"""Commands of `te` that run and end."""
