"""The exercises of the course: for each a program whose gaps a student fills, and the checks of its steps."""
