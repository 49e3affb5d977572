"""The root of the domain's errors."""


class DomainError(ValueError):
    """A value or a step that the rules of trading do not allow; the text says what, and how to mend it."""
