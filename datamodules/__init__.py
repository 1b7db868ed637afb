"""FaceForensics++ files on disk to batches of crops and masks; knows nothing of models."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # see __init__.pyi
