"""One file per revision, expanding only: the version before must work on the schema of the version after."""
