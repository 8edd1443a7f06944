"""Letters out of a file and into another: docs/export-format.md is what is written."""
