"""Where the face is, in every frame of a clip."""
