"""Values on their way into a CSV that people open in a spreadsheet."""


def cell(value: object) -> object:
    """The value, with an apostrophe in front of a text that a spreadsheet would run as a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
