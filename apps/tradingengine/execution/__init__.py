"""The execution engine of the edge: commands in, orders to the broker, every step journalled before it is shown."""
