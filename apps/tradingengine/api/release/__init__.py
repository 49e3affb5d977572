"""The rollout as people see it."""
