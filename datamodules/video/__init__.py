"""The door to decoders: frames by number, each equal to that of a plain decode, or a reason why not."""
