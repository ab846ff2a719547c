"""The three processes of a monitor, the loop that hosts them, and their settings."""
