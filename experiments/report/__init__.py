"""All runs of a folder: tables, comparisons, a page."""
