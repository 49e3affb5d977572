"""The operator that turns one TradingEngine resource into a running trading system."""
