"""`bilevel report`: what a run, or a comparison, came to, as a document for people."""
