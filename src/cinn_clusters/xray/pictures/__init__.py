"""Maps from pictures: decoding, borders, colours."""
