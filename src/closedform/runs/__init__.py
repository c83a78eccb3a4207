"""The work of the command: what it trains, and what it leaves in a run's folder."""
