"""Results as one HTML page that needs neither a network nor another file."""
