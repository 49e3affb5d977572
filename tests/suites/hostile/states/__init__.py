"""Generated states: changes of an engine from its schema, faults that are put into them, and what must hold."""
