"""The process around the engines: start and end, Lease, kopf, health, metrics, logs, and one loop for each engine."""
