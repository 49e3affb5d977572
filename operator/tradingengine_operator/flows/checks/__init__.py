"""Checks of a release that has weight, one kind a file."""
