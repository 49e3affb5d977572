"""Clients of the API server, of Prometheus and of the pods' control API. Every call has a time-out."""
