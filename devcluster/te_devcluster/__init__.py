"""A real Kubernetes on one Linux box: upstream binaries in network namespaces, no Docker and no image registry."""
