"""callqa: call recording and call quality assurance (话务录音与质检) for public hotlines."""

__version__ = "0.1.0"
