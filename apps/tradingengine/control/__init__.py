"""The control port that every pod serves: health, metrics and `/control/v1`. Knows nothing of trading."""
