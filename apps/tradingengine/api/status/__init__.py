"""Status of engine, market, edge and release."""
