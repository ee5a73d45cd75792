"""Tables of text: what a file is, how it is laid out, what its numbers mean."""
