"""Releases in the cluster: records, slots, weights, and the document that people see."""
