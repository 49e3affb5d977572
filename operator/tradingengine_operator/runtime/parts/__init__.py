"""The parts that a release stands on or goes with: secrets, stores, the edge, and the end of an engine."""
