"""Makes docs/performance.md of a run of the benchmarks."""
