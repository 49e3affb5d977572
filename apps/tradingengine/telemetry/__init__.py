"""Logs and metrics. Imports nothing but the standard library, prometheus_client and python-json-logger."""
