"""A model of the user: random sequences of what users do, and what must be true after each step."""
