"""Value types and rules of trading, without I/O; imports nothing else of ours.

Money is integer paise (1 rupee = 100 paise), quantities are integer units (never lots), times are aware UTC
datetimes unless a name says `_ms` or `time` (epoch). Both planes, cloud and edge, use these same rules.
"""
