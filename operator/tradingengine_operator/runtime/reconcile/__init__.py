"""One pass over one engine: what it sees, what it asks for, conditions and status."""
