"""A compact student, its teachers, and a probe of what it has learnt."""
