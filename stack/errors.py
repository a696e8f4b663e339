"""The one error the launcher shows to a person: what is wrong, and the way out."""


class StackError(Exception):
    """Something a person has to settle; shown as one line, never as a traceback."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy
