"""What a person sees in the terminal: a frozen snapshot, and what draws it."""
