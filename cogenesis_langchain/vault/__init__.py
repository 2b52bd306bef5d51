"""Raw texts of a run behind handles: in memory, and sealed on disk (`book`, `kept`) for threads that last."""
