"""Prices: the port of feeds, the seeded simulator, replay of recorded data, candles, search and publication."""
