"""How data lie on disk: FaceForensics++, videos named by a CSV."""
