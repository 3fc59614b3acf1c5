"""The one exception a user of the capture sees, as one line."""


class CaptureError(Exception):
    """Names the file or object at fault and the reason; becomes one line on stderr and exit status 2."""
