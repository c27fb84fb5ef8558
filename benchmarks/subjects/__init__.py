"""The subjects, in the order of the table; each has `rows(world, rounds)`."""
