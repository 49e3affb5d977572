"""Brokers: one port, one folder per broker."""
