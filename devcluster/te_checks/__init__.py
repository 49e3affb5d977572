"""Checks of this checkout that no library has ready: which files a linter is given."""
