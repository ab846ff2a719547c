"""A night as a page: who, how readable, what alarms, what beats, who has seen what."""
