"""How far rankings move when a text speaks of another person."""
