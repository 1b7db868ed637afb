"""Settings: YAML files, options, rows and what tells them apart; knows no other room."""
