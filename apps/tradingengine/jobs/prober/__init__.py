"""The prober: a steady, marked stream of requests, dry runs and one WebSocket, straight to each slot of a release."""
