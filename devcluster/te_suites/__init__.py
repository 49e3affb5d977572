"""Suites too heavy for `make test`: what each reads, whether it is due, and when there is time for it."""
