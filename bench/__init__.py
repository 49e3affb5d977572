"""The figures of the product on this machine: `make bench` writes docs/benchmarks.md."""
