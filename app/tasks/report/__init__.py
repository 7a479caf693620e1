"""The retry report as people read it: a page, and a table for a spreadsheet."""
