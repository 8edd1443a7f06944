"""docs/reliability.md: what is promised, how it was attacked, how often, and what was found."""
