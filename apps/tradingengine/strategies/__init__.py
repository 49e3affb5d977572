"""Strategies: the interface that they implement, the host that runs and confines them, and those of this product."""
