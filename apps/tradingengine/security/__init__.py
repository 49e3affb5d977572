"""Passwords, session tokens, roles and the rules of the browser's origin. Holds no SQL and no state."""
