"""A seeded market: the same seed gives the same prices, whatever the speed and the wall time."""
