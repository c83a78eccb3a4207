"""A solution with its numbers becomes a document: what is said, in what order, what lights up.  No format."""
