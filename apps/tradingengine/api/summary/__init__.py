"""The tiles of the dashboard."""
