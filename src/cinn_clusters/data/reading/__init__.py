"""Tables as files hold them: layout, numbers, names, keys, marks of absence, and the join of two."""
