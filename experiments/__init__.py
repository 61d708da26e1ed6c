"""One script a lesson; the only rooms that parse arguments, draw figures, write runs or know Stable-Baselines3."""
