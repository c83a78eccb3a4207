"""A document becomes text, LaTeX, Markdown, a notebook or a page.  No network."""
