"""Runs the tables: the only room that knows both the data and the models."""
