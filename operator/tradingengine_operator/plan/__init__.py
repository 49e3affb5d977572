"""Desired against observed, as pure functions: what to apply, what to prune, which patch a shared object needs."""
