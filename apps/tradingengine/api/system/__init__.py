"""Health of all parts."""
