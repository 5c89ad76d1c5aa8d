"""A job: the text of its script, and this package's programs that run inside it."""
