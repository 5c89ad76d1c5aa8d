"""Which code runs: what git says, the questions to the user, the safe copy, the requirements."""
