"""Explanations: an architecture with its numbers becomes a document, and a document becomes pages."""
