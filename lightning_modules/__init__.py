"""Networks, losses, metrics and Lightning modules for pixel-level face forensics; independent of how data is read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # see __init__.pyi
