"""What runs: the loop of each engine, the Lease, status, metrics. The only importer of kopf."""
