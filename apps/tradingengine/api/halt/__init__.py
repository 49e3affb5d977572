"""Halt and its release."""
