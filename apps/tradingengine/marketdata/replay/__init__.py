"""Recorded ticks and bars of a data folder, played back on their own clock at a chosen speed."""
