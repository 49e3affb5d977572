"""The dashboard's server: one document with the first data in it, the static files, and nothing else."""
