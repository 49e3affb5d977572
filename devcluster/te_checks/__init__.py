"""Checks of this checkout that no library has ready: what a linter is given, and what an audit may call clean."""
